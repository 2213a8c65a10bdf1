"""The scorer that a config asks for: its engine; candidates alone, or together and in races."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from search.scoring.config import Fitness, SearchScoringConfig
from search.scoring.packed_scorer import PackedScorer
from search.scoring.racing import RacingConfig, race
from search.scoring.tasks import Arrays, Race, Score, Scorer
from supernet.architecture import Architecture
from training.scoring.adapted import AdaptedScorer
from training.scoring.answers import Answers
from training.scoring.scorer import Scorer as TorchScorer


class Judge(Protocol):
    """Says what architectures answer to the search images: what all scorers do."""

    @property
    def num_images(self) -> int: ...

    def answer(
        self, architectures: Sequence[Architecture], num_blocks: int = 1, max_bytes: int = 1 << 30
    ) -> Iterator[tuple[int, Iterator[Answers]]]:
        """For each architecture its number in the list and, lazily, its answers block by block."""
        ...


class TogetherScorer:
    """Scores candidates of a batch together, and lets them race where the search is one of races.

    A task is an architecture, or a race. Scores hold the loss where the fitness is cross-entropy.
    """

    def __init__(
        self, judge: Judge, racing: RacingConfig | None, max_bytes: int, fitness: Fitness = "top1"
    ) -> None:
        self._judge, self._racing, self._max_bytes = judge, racing, max_bytes
        self._fitness = fitness

    def __call__(self, task: Any) -> float | Score:
        return next(self.score_many([task]))[1]

    def score_many(self, tasks: Sequence[Any]) -> Iterator[tuple[int, float | Score]]:
        """Yield (number in the list, score), in the order in which they share most."""
        races = [task if isinstance(task, Race) else Race(task, None) for task in tasks]
        num_blocks = self._racing.blocks if self._racing else 1
        found = self._judge.answer([one.architecture for one in races], num_blocks, self._max_bytes)
        for number, blocks in found:
            if self._racing is None:
                yield number, self._score(Answers.joined(blocks))
            else:
                rival, bits = races[number].rival, (block.right for block in blocks)
                yield number, race(bits, rival, self._racing, self._judge.num_images)

    def _score(self, answers: Answers) -> float | Score:
        if self._fitness == "top1":
            return answers.top1
        return Score(answers.top1, loss=answers.loss, loss_error=answers.loss_error)


def judge_of(
    description: Mapping[str, Any], arrays: Arrays, config: SearchScoringConfig
) -> TorchScorer:
    """The scorer of a space's description by itself, of the engine that a config asks for."""
    if config.adapt is not None:
        return AdaptedScorer(description, arrays, config)
    engine = PackedScorer if config.engine == "packed" else TorchScorer
    return engine(description, arrays, config)


def make_scorer(
    description: Mapping[str, Any],
    config: SearchScoringConfig,
    batch: int,
    racing: RacingConfig | None,
    max_bytes: int,
    arrays: Arrays,
) -> Scorer:
    """The scorer of a space's description; picklable as a partial without `arrays`.

    `batch`: candidates it is given at once, whose shared maps may take up to `max_bytes`.
    """
    judge = judge_of(description, arrays, config)
    if batch == 1 and racing is None and config.fitness == "top1":
        return judge
    return TogetherScorer(judge, racing, max_bytes, config.fitness)

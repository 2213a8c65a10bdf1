"""The scorer that a config asks for: its engine; candidates alone, or together and in races."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from search.scoring.config import SearchScoringConfig
from search.scoring.packed_scorer import PackedScorer
from search.scoring.racing import Bits, RacingConfig, race
from search.scoring.tasks import Arrays, Race, Score, Scorer
from supernet.architecture import Architecture
from training.scoring.scorer import Scorer as TorchScorer


class Judge(Protocol):
    """Says which images an architecture classifies right: what both scorers do."""

    @property
    def num_images(self) -> int: ...

    def correct(
        self, architectures: Sequence[Architecture], num_blocks: int = 1, max_bytes: int = 1 << 30
    ) -> Iterator[tuple[int, Iterator[Bits]]]:
        """For each architecture its number in the list and, lazily, its bits block by block."""
        ...


class TogetherScorer:
    """Scores candidates of a batch together, and lets them race where the search is one of races.

    A task is an architecture, or a race.
    """

    def __init__(self, judge: Judge, racing: RacingConfig | None, max_bytes: int) -> None:
        self._judge, self._racing, self._max_bytes = judge, racing, max_bytes

    def __call__(self, task: Any) -> float | Score:
        return next(self.score_many([task]))[1]

    def score_many(self, tasks: Sequence[Any]) -> Iterator[tuple[int, float | Score]]:
        """Yield (number in the list, score), in the order in which they share most."""
        races = [task if isinstance(task, Race) else Race(task, None) for task in tasks]
        num_blocks = self._racing.blocks if self._racing else 1
        found = self._judge.correct(
            [one.architecture for one in races], num_blocks, self._max_bytes
        )
        for number, blocks in found:
            if self._racing is None:
                bits = np.concatenate(list(blocks))
                yield number, 100.0 * int(bits.sum()) / len(bits)
            else:
                rival = races[number].rival
                yield number, race(blocks, rival, self._racing, self._judge.num_images)


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
    engine = PackedScorer if config.engine == "packed" else TorchScorer
    judge = engine(description, arrays, config)
    if batch == 1 and racing is None:
        return judge
    return TogetherScorer(judge, racing, max_bytes)

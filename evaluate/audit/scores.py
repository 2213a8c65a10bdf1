"""What a supernet says of the audited networks: each score, in every way of scoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch

from evaluate.audit.config import AuditStage, ScoringMode
from supernet.architecture import Architecture
from supernet.files import read_json, write_json
from supernet.space import SearchSpace
from training.run_files.progress import Progress
from training.scoring.adapted import AdaptedScorer
from training.scoring.answers import Answers
from training.scoring.scorer import Scorer, scoring_arrays


class Score(NamedTuple):
    """What is measured of a network's answers.

    Its name in tables, +1 where more is better, else -1, and how it is taken.
    """

    title: str
    sign: int
    of: Callable[[Answers], float]


SCORES = {
    "top1": Score("top-1", 1, lambda answers: answers.top1),
    "cross_entropy": Score("cross-entropy", -1, lambda answers: answers.loss),
}
"""By name in files: percent of the search images, and nats."""


def supernet_scores(
    stage: AuditStage,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    num_search_images: int,
    supernet: Path,
    kept: Path,
) -> list[Mapping[str, Any]]:
    """The scores of every architecture on the search split, for each way of scoring in turn.

    Each entry has `batch_norm`, `calibration_images` (null where there are none), `adapt` (null
    where the weights are as they are) and, by the names of `SCORES`, values in the order of
    `architectures`. They are kept in the file `kept`, from which a second call goes on.
    """
    found: list[Mapping[str, Any]] = []
    if kept.exists():
        found = read_json(kept, what="supernet scores")
    missing = stage.audit.modes[len(found) :]
    if not missing:
        return found
    threads = torch.get_num_threads()
    try:
        with Progress(f"score {kept.stem}", len(missing) * len(architectures)) as progress:
            for adapt, modes in groupby(missing, lambda mode: mode.adapt):
                config = stage.audit.scoring.scorer_config(num_search_images, adapt)
                arrays = scoring_arrays(supernet, stage.data, config, stage.seed)
                made = Scorer if adapt is None else AdaptedScorer
                scorer = made(space.describe(), arrays, config)
                for mode in modes:
                    found.append(_scores_by(scorer, mode, architectures, progress))
                    write_json(kept, found)
    finally:
        torch.set_num_threads(threads)
    return found


def _scores_by(
    scorer: Scorer, mode: ScoringMode, architectures: Sequence[Architecture], progress: Progress
) -> dict[str, Any]:
    """The entry of one way of scoring."""
    measured = []
    for architecture in architectures:
        answers = scorer.answers(architecture, mode.batch_norm, mode.calibration_images)
        measured.append({name: score.of(answers) for name, score in SCORES.items()})
        progress.advance(top1=answers.top1)
    said = {**mode._asdict(), "adapt": mode.adapt and mode.adapt.model_dump(mode="json")}
    return {**said, **{name: [one[name] for one in measured] for name in SCORES}}

"""What a supernet says of the audited networks: each score, in every way of scoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from evaluate.audit.config import AuditStage
from supernet.architecture import Architecture
from supernet.files import read_json, write_json
from supernet.space import SearchSpace
from training.run_files.progress import Progress
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

    Each entry has `batch_norm`, `calibration_images` (null where there are none) and, by the names
    of `SCORES`, values in the order of `architectures`. They are kept in the file `kept`; a second
    call reads it.
    """
    if kept.exists():
        return read_json(kept, what="supernet scores")
    modes = stage.audit.scoring.modes
    config = stage.audit.scoring.scorer_config(num_search_images)
    arrays = scoring_arrays(supernet, stage.data, config, stage.seed)
    threads = torch.get_num_threads()
    try:
        scorer = Scorer(space.describe(), arrays, config)
        found: list[Mapping[str, Any]] = []
        with Progress(f"score {kept.stem}", len(modes) * len(architectures)) as progress:
            for batch_norm, images in modes:
                measured = []
                for architecture in architectures:
                    answers = scorer.answers(architecture, batch_norm, images)
                    measured.append({name: score.of(answers) for name, score in SCORES.items()})
                    progress.advance(top1=answers.top1)
                values = {name: [one[name] for one in measured] for name in SCORES}
                found.append({"batch_norm": batch_norm, "calibration_images": images, **values})
    finally:
        torch.set_num_threads(threads)
    write_json(kept, found)
    return found

"""Score architectures with a supernet in every way that an audit compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from evaluate.audit_config import AuditStage
from supernet.architecture import Architecture
from supernet.files import read_json, write_json
from supernet.space import SearchSpace
from training.progress import Progress
from training.scoring import Scorer, scoring_arrays


def supernet_scores(
    stage: AuditStage,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    num_search_images: int,
    supernet: Path,
    kept: Path,
) -> list[Mapping[str, Any]]:
    """The top-1 of every architecture on the search split, for each way of scoring in turn.

    Each entry has `batch_norm`, `calibration_images` (null where there are none) and `top1`, in
    the order of `architectures`. They are kept in the file `kept`; a second call reads it.
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
                top1 = []
                for architecture in architectures:
                    top1.append(scorer.score(architecture, batch_norm, images))
                    progress.advance(top1=top1[-1])
                found.append({"batch_norm": batch_norm, "calibration_images": images, "top1": top1})
    finally:
        torch.set_num_threads(threads)
    write_json(kept, found)
    return found

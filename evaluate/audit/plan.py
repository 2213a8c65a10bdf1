"""What an audit will train and score, read and checked before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from evaluate.audit.config import AuditStage
from evaluate.audit.drawing import Drawn, draw_audited
from evaluate.audit.supernets import TrainedRule, check_given, plan_supernets
from evaluate.retrain.trainings import NetworkTrainings, threads_of
from supernet.files import UserError
from supernet.network import build
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.compilation import decide
from training.data import TrainingData
from training.data.training_data import open_for
from training.device import choose_device
from training.loop.batches import steps_per_epoch
from training.loop.phases import check_phases
from training.processes.ray_session import check_workers
from training.supernet_stage import check_stage

STAGE = "audit"


@dataclass(frozen=True)
class Prepared:
    """An audit whose input is checked: everything that can be refused has been read."""

    space: SearchSpace
    data: TrainingData
    manifest: dict[str, Any]
    device: torch.device
    steps_per_epoch: int
    drawn: Drawn
    rules: tuple[TrainedRule, ...]

    def trainings(self, stage: AuditStage) -> NetworkTrainings:
        """Those of all architectures, without the search split."""
        return NetworkTrainings(
            STAGE,
            self.space,
            self.drawn.architectures,
            self.data.config,
            stage.audit,
            stage.seed,
            "train",
            self.data.facts.without_files(),
        )


def check_machine(stage: AuditStage) -> None:
    """Demand workers that this machine has cores for.

    Raises:
        UserError: there are more.
    """
    check_workers(stage.audit.workers, threads_of(stage.audit), STAGE)


def prepare(stage: AuditStage, supernet: Path | None = None) -> Prepared:
    """Read and check everything that an audit needs, without writing anything.

    Raises:
        UserError: what is wrong with the space, the data, the supernets or the networks.
    """
    space = space_from_description(stage.space)
    space.check_searchable()
    config = stage.audit
    drawn = draw_audited(space, config, stage.seed)
    fewest = int(np.bincount(drawn.band_numbers).min())
    if "top_k" in config.model_fields_set and max(config.top_k) >= fewest:
        of_a_band = " of a band" if drawn.bands else ""
        raise UserError(
            f"audit.top_k: the best of {max(config.top_k)} of {fewest} networks{of_a_band} is the "
            f"best of all; expected fewer"
        )
    device = choose_device(config.device)
    choose_device(config.scoring.device)
    # Refuses 'on' without a compiler; the decision itself is taken, once a run, in its folder.
    decide(config.compile, device, graphs=0, planned_steps=0, eager_step_seconds=lambda: 0.0)
    data = open_for(space, stage.data)
    manifest = data.manifest()
    rules = plan_supernets(stage, space, supernet)
    for planned in (one for rule in rules for one in rule.supernets):
        check_stage(space, planned.stage, data)
        if planned.trained is not None:
            check_given(planned, space, data.facts)
    if (most := max(config.scoring.calibration_images)) > len(data.train):
        raise UserError(
            f"audit.scoring.calibration_images: {most} are more than the {len(data.train)} "
            f"training images"
        )
    first = space.decode(space.first())

    def modules() -> Iterator[nn.Module]:
        with torch.device("meta"):
            yield from (build(space.decode(architecture)) for architecture in drawn.architectures)

    seen = data.seen_by(first)
    check_phases(config, seen, first, modules, data.train, space)
    per_epoch = steps_per_epoch(data.train, config)
    return Prepared(space, data, manifest, device, per_epoch, drawn, rules)

"""What an audit will train and score, read and checked before anything is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluate.audit.config import AuditStage
from evaluate.retrain.baselines import MAX_DRAWS, analytic_costs, draw_distinct
from evaluate.retrain.trainings import NetworkTrainings, threads_of
from supernet.architecture import Architecture
from supernet.costs.limits import limits_from, within
from supernet.costs.table import LATENCY
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
from training.run_files.folder import open_finished
from training.run_files.same_run import CHANGES_ROUNDING, differences, recorded_config
from training.seeds import stream
from training.split_facts import TRAINED_ON, SplitFacts, facts_of_run
from training.supernet_file import check_space, load_supernet
from training.supernet_stage import SupernetStage, check_stage

STAGE, SUPERNET = "audit", "supernet"
COMPARED = (SUPERNET, "seed")
"""Sections that a supernet that is given must share; space and images are compared as such."""


@dataclass(frozen=True)
class TrainedRule:
    """A sampling rule under the name it has in the audit, and how its supernet is trained.

    `trained` is the run of a supernet that is already there; None where it is to be trained.
    """

    name: str
    stage: SupernetStage
    trained: Path | None


@dataclass(frozen=True)
class Prepared:
    """An audit whose input is checked: everything that can be refused has been read."""

    space: SearchSpace
    data: TrainingData
    manifest: dict[str, Any]
    device: torch.device
    steps_per_epoch: int
    architectures: tuple[Architecture, ...]
    rules: tuple[TrainedRule, ...]

    def trainings(self, stage: AuditStage) -> NetworkTrainings:
        """Those of all architectures, without the search split."""
        return NetworkTrainings(
            STAGE,
            self.space,
            self.architectures,
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
    architectures = _draw(stage, space)
    if "top_k" in config.model_fields_set and max(config.top_k) >= len(architectures):
        raise UserError(
            f"audit.top_k: the best of {max(config.top_k)} of {len(architectures)} networks is the "
            f"best of all; expected fewer"
        )
    device = choose_device(config.device)
    choose_device(config.scoring.device)
    # Refuses 'on' without a compiler; the decision itself is taken, once a run, in its folder.
    decide(config.compile, device, graphs=0, planned_steps=0, eager_step_seconds=lambda: 0.0)
    data = open_for(space, stage.data)
    manifest = data.manifest()
    rules = _rules(stage, supernet)
    for rule in rules:
        check_stage(space, rule.stage, data)
        if rule.trained is not None:
            _check_supernet(rule, space, data.facts)
    if (most := max(config.scoring.calibration_images)) > len(data.train):
        raise UserError(
            f"audit.scoring.calibration_images: {most} are more than the {len(data.train)} "
            f"training images"
        )
    first = space.decode(space.first())

    def modules() -> Iterator[nn.Module]:
        with torch.device("meta"):
            yield from (build(space.decode(architecture)) for architecture in architectures)

    seen = data.seen_by(first)
    check_phases(config, seen, first, modules, data.train)
    per_epoch = steps_per_epoch(data.train, config)
    return Prepared(space, data, manifest, device, per_epoch, architectures, rules)


def _draw(stage: AuditStage, space: SearchSpace) -> tuple[Architecture, ...]:
    """The audited architectures: all of a small space, else distinct uniform draws."""
    config = stage.audit
    limits = limits_from(config.limits, "audit.limits")
    if any(limit.name == LATENCY for limit in limits):
        raise UserError("audit.limits: latency is not predicted here; limit another cost")
    if space.size <= config.networks:
        names = [position.name for position in space.positions]
        rows = itertools.product(*(position.choices for position in space.positions))
        every = [Architecture(tuple(zip(names, row, strict=True))) for row in rows]
        found = [one for one in every if within(limits, analytic_costs(space.decode(one)))]
        wanted = 2
    else:
        rng = stream(stage.seed, "audited networks")
        found = draw_distinct(space, limits, config.networks, rng, analytic_costs)
        wanted = config.networks
    if len(found) < wanted:
        where = "of the whole space" if space.size <= config.networks else f"in {MAX_DRAWS} draws"
        raise UserError(
            f"audit.networks: found {len(found)} architectures within audit.limits {where}, "
            f"expected {wanted}; loosen the limits or ask for fewer"
        )
    return tuple(found)


def _rules(stage: AuditStage, supernet: Path | None) -> tuple[TrainedRule, ...]:
    """The sampling rules by name; `supernet` stands for the config's own."""
    own = stage.supernet.sampling
    rules = stage.audit.sampling or (own,)
    if supernet is not None and own not in rules:
        raise UserError(
            "--supernet stands for the rule of supernet.sampling, which audit.sampling leaves out"
        )
    found = []
    for number, rule in enumerate(rules):
        before = sum(other.rule == rule.rule for other in rules[:number])
        found.append(
            TrainedRule(
                f"{rule.rule}-{before + 1}" if before else rule.rule,
                SupernetStage(
                    space=stage.space,
                    data=stage.data,
                    supernet=stage.supernet.model_copy(update={"sampling": rule}),
                    seed=stage.seed,
                ),
                supernet if rule == own else None,
            )
        )
    return tuple(found)


def _check_supernet(rule: TrainedRule, space: SearchSpace, facts: SplitFacts) -> None:
    """Demand a finished supernet of this space, these images and this config.

    Raises:
        UserError: says in what it differs.
    """
    assert rule.trained is not None
    if not rule.trained.is_dir():
        raise UserError(f"--supernet {rule.trained}: no such run folder")
    folder = open_finished(rule.trained, SUPERNET)
    load_supernet(rule.trained)
    check_space(folder, space)
    recorded = folder.config
    used = facts_of_run(folder)
    if used is not None and used.changed(facts, TRAINED_ON):
        raise UserError(
            f"supernet {rule.trained}: was trained on another split of the data: "
            f"{used.changes(facts)}"
        )
    found = differences(recorded, recorded_config(rule.stage), SupernetStage, CHANGES_ROUNDING)
    for one in found:
        if one.name.partition(".")[0] in COMPARED:
            raise UserError(
                f"supernet {rule.trained}: was trained with another config: {one.name} was "
                f"{one.was!r}, is {one.now!r}"
            )

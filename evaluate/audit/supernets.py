"""The supernets that an audit compares: of each sampling rule one or more, at what work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluate.audit.config import AuditStage
from supernet.files import UserError
from supernet.space import SearchSpace
from training.loop.settings import PhaseSettings
from training.path_sampling.periods import period_at, periods_of
from training.path_sampling.rules import num_paths
from training.run_files.folder import open_finished
from training.run_files.same_run import CHANGES_ROUNDING, differences, recorded_config
from training.seeds import derive_seed
from training.split_facts import TRAINED_ON, SplitFacts, facts_of_run
from training.supernet_file import check_space, load_supernet
from training.supernet_stage import SupernetConfig, SupernetStage

SUPERNET = "supernet"
COMPARED = (SUPERNET, "seed")
"""Sections that a supernet that is given must share; space and images are compared as such."""


@dataclass(frozen=True)
class PlannedSupernet:
    """A supernet under the name it has in the audit, and how it is trained.

    `trained` is its run where it is already there; None where it is to be trained.
    """

    name: str
    stage: SupernetStage
    trained: Path | None


@dataclass(frozen=True)
class TrainedRule:
    """A sampling rule, and its supernets, equal but for their seeds."""

    name: str
    supernets: tuple[PlannedSupernet, ...]

    @property
    def settings(self) -> SupernetConfig:
        """Those of all its supernets."""
        return self.supernets[0].stage.supernet


def plan_supernets(
    stage: AuditStage, space: SearchSpace, given: Path | None
) -> tuple[TrainedRule, ...]:
    """The sampling rules by name; the run `given` stands for the first supernet of the config's.

    Raises:
        UserError: that one is left out, or the work cannot be made equal.
    """
    own = stage.supernet.sampling
    rules = stage.audit.sampling or (own,)
    if given is not None and own not in rules:
        raise UserError(
            "--supernet stands for the rule of supernet.sampling, which audit.sampling leaves out"
        )
    found = []
    for number, rule in enumerate(rules):
        before = sum(other.rule == rule.rule for other in rules[:number])
        name = f"{rule.rule}-{before + 1}" if before else rule.rule
        settings = stage.supernet.model_copy(update={"sampling": rule})
        if stage.audit.equal_work and rule != own:
            settings = _at_equal_work(space, settings, stage.supernet)
        planned = [
            PlannedSupernet(
                f"{name}-seed{k}" if k else name,
                SupernetStage(
                    space=stage.space,
                    data=stage.data,
                    supernet=settings,
                    seed=derive_seed(stage.seed, SUPERNET, k) if k else stage.seed,
                ),
                given if rule == own and k == 0 else None,
            )
            for k in range(stage.audit.supernet_seeds)
        ]
        found.append(TrainedRule(name, tuple(planned)))
    return tuple(found)


def work_of(space: SearchSpace, settings: SupernetConfig, steps_per_epoch: int) -> int:
    """Passes of a batch through a path, forward and back: steps x paths a step."""
    periods = periods_of(space, settings.sampling)
    paths = [
        num_paths(period_at(periods, epoch).space, settings.sampling)
        for epoch in range(settings.total_epochs)
    ]
    return steps_per_epoch * sum(paths)


def check_given(planned: PlannedSupernet, space: SearchSpace, facts: SplitFacts) -> None:
    """Demand a finished supernet of this space, these images and this config.

    Raises:
        UserError: says in what it differs.
    """
    run = planned.trained
    assert run is not None
    if not run.is_dir():
        raise UserError(f"--supernet {run}: no such run folder")
    folder = open_finished(run, SUPERNET)
    load_supernet(run)
    check_space(folder, space)
    used = facts_of_run(folder)
    if used is not None and used.changed(facts, TRAINED_ON):
        raise UserError(
            f"supernet {run}: was trained on another split of the data: {used.changes(facts)}"
        )
    config = recorded_config(planned.stage)
    for one in differences(folder.config, config, SupernetStage, CHANGES_ROUNDING):
        if one.name.partition(".")[0] in COMPARED:
            raise UserError(
                f"supernet {run}: was trained with another config: {one.name} was "
                f"{one.was!r}, is {one.now!r}"
            )


def _at_equal_work(
    space: SearchSpace, settings: SupernetConfig, wanted: SupernetConfig
) -> SupernetConfig:
    """`settings` for as many epochs as train the paths of `wanted`, phase by phase.

    Raises:
        UserError: something else counts epochs too, and would come too early or too late.
    """
    share = num_paths(space, wanted.sampling) / num_paths(space, settings.sampling)
    if share == 1:
        return settings
    if counting := _counting_epochs(wanted) or _counting_epochs(settings):
        raise UserError(
            f"audit.equal_work: supernet.{counting} counts epochs, of which each rule gets its own "
            f"number; leave it out, or compare at equal epochs"
        )

    def scaled(phase: PhaseSettings) -> int:
        return max(1, round(share * phase.epochs))

    return settings.model_copy(
        update={
            "epochs": scaled(settings),
            "phases": tuple(
                phase.model_copy(update={"epochs": scaled(phase)}) for phase in settings.phases
            ),
        }
    )


def _counting_epochs(settings: SupernetConfig) -> str | None:
    """What of these settings counts epochs, but for their number itself."""
    sampling = settings.sampling
    counting: dict[str, Any] = {
        "sampling.schedule": sampling.schedule,
        "sampling.widen": sampling.widen,
    }
    for optimiser in (phase.optimiser for phase in settings.in_phases()):
        counting |= {
            "optimiser.milestones": optimiser.milestones,
            "optimiser.warmup_epochs": optimiser.warmup_epochs,
            "optimiser.bop.gamma_decay_epochs": optimiser.bop and optimiser.bop.gamma_decay_epochs,
        }
        if any(counting.values()):
            break
    return next((name for name, value in counting.items() if value), None)

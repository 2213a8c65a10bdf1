"""What a stage would take: --dry-run's time, memory and disk, from a few of its real steps."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from evaluate.audit.config import AuditStage
from evaluate.audit.plan import check_machine as check_audits_machine
from evaluate.audit.plan import prepare as prepare_audit
from evaluate.estimate.planned_training import (
    NO_FOLDER,
    PlannedTraining,
    plan_networks,
    plan_supernet,
)
from evaluate.estimate.rehearsal import peak_memory_bytes, rehearse
from evaluate.finals.config import FinalsStage
from evaluate.finals.entrants import GIVEN, Contest
from evaluate.finals.halving import most_surviving
from evaluate.finals.run import check_machine as check_finals_machine
from evaluate.finals.run import prepare as prepare_finals
from evaluate.retrain.config import RetrainStage
from evaluate.retrain.run import check_machine, prepare
from evaluate.retrain.trainings import NetworkTrainings, threads_of
from supernet.network import build
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.compilation import time_step, training_step_seconds, zero_images
from training.data.training_data import check_fit, open_for
from training.device import choose_device, set_threads, usable_cores
from training.pretraining import run as pretraining
from training.pretraining.config import PretrainStage
from training.supernet_stage import SupernetStage, check_stage

IMAGES_TIMED = 256
IN_TRAINING = "reading, varying and learning the images"


@dataclass(frozen=True)
class Machine:
    """What a time is reckoned for: cores, and how busy they are with other work.

    To be asked before anything is timed, which is work itself.
    """

    cores: int
    load: float

    @classmethod
    def now(cls) -> Machine:
        """As it is at this moment."""
        return cls(usable_cores(), os.getloadavg()[0])

    def entries(self, threads: int) -> dict[str, Any]:
        """Of an estimate for so many threads."""
        cores = f"{self.cores} core{'s' * (self.cores > 1)}"
        return {
            "threads": threads,
            "machine": f"{cores}, load {self.load:.1f} before; taken to stay as busy",
        }


def estimate(
    stage: Any, run: Path, architectures: Sequence[Path] = (), against: Sequence[Path] = ()
) -> dict[str, Any]:
    """Time, memory and disk of a stage without starting it; `time_of` says what is timed.

    A retraining is that of the files `architectures` and `against`, each of its networks taken for
    that of most OPs; without files one finalist, the space's first architecture, stands in. Of a
    search only space, data and device are looked at, not its limits and not its supernet.

    Raises:
        UserError: what a training itself would refuse before starting; of a search, a data set
            that the space does not fit.
    """
    began, machine = time.perf_counter(), Machine.now()
    if isinstance(stage, RetrainStage):
        return {
            **_retraining(stage, run, architectures, against, began),
            **machine.entries(threads_of(stage.retrain)),
        }
    space = space_from_description(stage.space)
    space.check_searchable()
    data = open_for(space, stage.data)
    if isinstance(stage, SupernetStage):
        check_stage(space, stage, data)
        opened_s = time.perf_counter() - began
        made = plan_supernet(space, stage, data)
        return {
            "run": str(run),
            "device": str(made.device),
            "steps": made.steps,
            "time_s": _rounded(opened_s + made.total_s),
            "time_of": f"starting, {IN_TRAINING}",
            **_compiling(made),
            "parameters": made.parameters,
            **machine.entries(torch.get_num_threads()),
            **_memory(made.device),
            "disk_bytes": 4 * made.parameters,
        }
    check_fit(space.decode(space.first()), data)
    found = _search(stage, run, space, len(data.search))
    return {**found, **machine.entries(stage.search.scoring.threads)}


def _retraining(
    stage: RetrainStage,
    run: Path,
    files: Sequence[Path],
    against: Sequence[Path],
    began: float,
) -> dict[str, Any]:
    """The dearest network's time, for as many networks as there are."""
    check_machine(stage)
    prepared = prepare(stage, files, against)
    trainings, *others = prepared.trainings(stage)
    if not files and prepared.space.size > 1:
        finalist = prepared.space.first()
        trainings = replace(trainings, architectures=[*trainings.architectures, finalist])
    opened_s = time.perf_counter() - began
    made = plan_networks(trainings)
    # Those of another start besides: their rows, not other architectures.
    all_made = [made, *map(plan_networks, others)]
    number = sum(one.number for one in all_made)
    said = prepared.comparison.warnings(prepared.space)
    return {
        "run": str(run),
        "device": str(made.device),
        "architectures": len(trainings.architectures),
        "networks": number,
        "network_steps": made.steps,
        "network_s": _rounded(made.one_s),
        "time_s": _rounded(opened_s + sum(one.total_s for one in all_made)),
        "time_of": f"starting, {IN_TRAINING}, scoring",
        **_compiling(made),
        "parameters": made.parameters,
        **_memory(made.device, made.processes),
        "disk_bytes": 4 * made.parameters * number,
        **({"warnings": said} if said else {}),
    }


def estimate_audit(stage: AuditStage, run: Path, supernet: Path | None = None) -> dict[str, Any]:
    """The supernets that are not given, then the dearest network's time for as many as there are.

    Raises:
        UserError: what the audit itself would refuse before starting.
    """
    began, machine = time.perf_counter(), Machine.now()
    check_audits_machine(stage)
    prepared = prepare_audit(stage, supernet)
    opened_s = time.perf_counter() - began
    space, data = prepared.space, prepared.data
    supernets = [
        plan_supernet(space, one.stage, data)
        for rule in prepared.rules
        for one in rule.supernets
        if one.trained is None
    ]
    made = plan_networks(prepared.trainings(stage))
    parameters = made.parameters * made.number + sum(one.parameters for one in supernets)
    return {
        "run": str(run),
        "device": str(made.device),
        "supernets": len(supernets),
        "networks": made.number,
        "network_s": _rounded(made.one_s),
        "time_s": _rounded(opened_s + made.total_s + sum(one.total_s for one in supernets)),
        "time_of": f"starting, {IN_TRAINING}, scoring the networks; not the supernets' scoring",
        **machine.entries(threads_of(stage.audit)),
        **_memory(made.device, made.processes),
        "disk_bytes": 4 * parameters,
    }


def estimate_finals(
    stage: FinalsStage, run: Path, contest: Contest | None = None
) -> dict[str, Any]:
    """The trainings of all rungs, each taken for that of the space's first architecture.

    Without a `contest` as many networks as the config asks for.

    Raises:
        UserError: what the finals of `contest` would refuse before starting; without one, a data
            set that the space does not fit.
    """
    began, machine = time.perf_counter(), Machine.now()
    check_finals_machine(stage)
    space, config = space_from_description(stage.space), stage.finals
    given = len(config.include or ())
    if contest is None:
        data, entering = open_for(space, stage.data), config.best + config.designs + given
        check_fit(space.decode(space.first()), data)
    else:
        data, entering = prepare_finals(stage, contest).data, len(contest.entrants)
        given = sum(one.kind == GIVEN for one in contest.entrants)
    opened_s = time.perf_counter() - began
    made, networks = [], []
    for number, epochs in enumerate(config.rungs, start=1):
        settings = config.model_copy(update={"epochs": epochs})
        own = [space.first()] * entering
        facts = data.facts.without_files()
        stage_name = f"finals {number}"
        made.append(
            plan_networks(
                NetworkTrainings(
                    stage_name, space, own, data.config, settings, stage.seed, "train", facts
                )
            )
        )
        networks.append(entering)
        entering = most_surviving(entering, config.keep, given)
    parameters = sum(one.parameters * one.number for one in made)
    return {
        "run": str(run),
        "device": str(made[0].device),
        "networks_of_rungs": networks,
        "time_s": _rounded(opened_s + sum(one.total_s for one in made)),
        "time_of": f"starting, {IN_TRAINING}, scoring",
        **_compiling(made[0]),
        **machine.entries(threads_of(config)),
        **_memory(made[0].device, made[0].processes),
        "disk_bytes": 4 * parameters,
    }


def estimate_pretraining(
    stage: PretrainStage, architecture: Path | None, run: Path
) -> dict[str, Any]:
    """Time and memory of a pre-training without starting it.

    Raises:
        UserError: what the pre-training itself would refuse before starting.
    """
    started, machine = time.perf_counter(), Machine.now()
    prepared = pretraining.prepare(stage, architecture)
    config = stage.pretrain
    set_threads(config.threads)
    training = pretraining.plan(stage, prepared, NO_FOLDER)
    made_s = time.perf_counter() - started
    parameters = sum(parameter.numel() for parameter in training.module.parameters())
    return {
        "run": str(run),
        "device": str(prepared.device),
        "steps": prepared.steps,
        "time_s": _rounded(made_s + rehearse(training)),
        "time_of": f"starting, {IN_TRAINING}; not scoring",
        "parameters": parameters,
        **machine.entries(torch.get_num_threads()),
        **_memory(prepared.device),
    }


def _search(stage: Any, run: Path, space: SearchSpace, search_images: int) -> dict[str, Any]:
    """Forward passes of the space's first architecture alone, as if every candidate were it."""
    scoring = stage.search.scoring
    device = choose_device(scoring.device)
    torch.set_num_threads(scoring.threads)
    spec = space.decode(space.first())
    network = build(spec).to(device).eval()
    x = zero_images(spec, IMAGES_TIMED, device)

    def forward() -> None:
        with torch.inference_mode():
            network(x)

    per_image = time_step(network, forward) / IMAGES_TIMED
    images = scoring.calibration_images + min(search_images, scoring.search_images or search_images)
    workers, one_s, what = stage.search.workers, images * per_image, "scoring"
    if (adapt := scoring.adapt) is not None:
        own = training_step_seconds(network.train(), network, spec, adapt.batch_size, device)
        one_s, what = one_s + adapt.steps * own, f"{adapt.steps} steps of training, scoring"
    return {
        "run": str(run),
        "device": str(device),
        "candidates": stage.search.budget,
        "images_per_candidate": images,
        "time_s": _rounded(stage.search.budget * one_s / max(workers, 1)),
        "time_of": f"{what}; not starting",
        **_memory(device, 1 + workers),
        # One line of about 600 bytes a candidate.
        "disk_bytes": 600 * stage.search.budget,
    }


def _compiling(made: PlannedTraining) -> dict[str, Any]:
    return {"compile": f"{'yes' if made.compile.compile else 'no'}: {made.compile.reason}"}


def _memory(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """The most that this process has had so far, for each of the processes; on a GPU, there too."""
    found = {"processes": processes, "memory_bytes": processes * peak_memory_bytes()}
    if device.type == "cuda":
        found["gpu_memory_bytes"] = max(processes - 1, 1) * torch.cuda.max_memory_reserved(device)
    return found


def _rounded(seconds: float) -> float:
    return round(seconds, 1)

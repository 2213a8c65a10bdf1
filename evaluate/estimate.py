"""What a stage would take: --dry-run's time, memory and disk, measured on a few real steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluate.audit_config import AuditStage
from evaluate.audit_plan import prepare as prepare_audit
from evaluate.retrain import RetrainStage, prepare, threads_of
from evaluate.timing import training_step_seconds, zero_images
from supernet.costs import cost
from supernet.network import build
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spec import NetworkSpec
from supernet.supernet import Supernet
from training.batches import steps_per_epoch
from training.compilation import time_step
from training.data import open_training_data
from training.device import choose_device, set_threads
from training.fit_check import check_fit
from training.path_sampling import draw_paths
from training.seeds import stream
from training.settings import TrainingSettings
from training.supernet_training import SupernetStage, check_stage

BYTES_PER_PARAMETER = 16  # fp32 weight, gradient and Adam's two moments
IMAGES_TIMED = 256


def estimate(stage: Any, run: Path, architectures: Sequence[Path] = ()) -> dict[str, Any]:
    """Time, memory and disk of a stage without starting it; times are of uncompiled steps.

    A retraining is that of the files `architectures`, its step that of its network of most OPs;
    without files one finalist, the space's first architecture, stands in. Of a search only space,
    data and device are looked at, not its limits and not its supernet.

    Raises:
        UserError: what a training itself would refuse before starting; of a search, a data set
            that the space does not fit.
    """
    if isinstance(stage, RetrainStage):
        return _retraining(stage, run, architectures)
    space = space_from_description(stage.space)
    space.check_searchable()
    data = open_training_data(stage.data)
    if isinstance(stage, SupernetStage):
        check_stage(space, stage, data)
        supernet = Supernet(space, stage.supernet.sharing)
        steps = steps_per_epoch(data.train, stage.supernet) * stage.supernet.total_epochs
        drawn = draw_paths(space, stage.supernet.sampling, stream(stage.seed, "estimate"))
        path = supernet.path(drawn[0])
        spec = space.decode(space.first())
        set_threads(stage.supernet.threads)
        passes = _training(run, supernet, path, spec, stage.supernet, steps * len(drawn))
        return {**passes, "steps": steps}
    check_fit(space.decode(space.first()), data)
    return _search(stage, run, space, len(data.search))


def _retraining(stage: RetrainStage, run: Path, architectures: Sequence[Path]) -> dict[str, Any]:
    """The dearest network's time, for as many networks as there are."""
    prepared = prepare(stage, architectures)
    trained = [entry.architecture for entry in prepared.comparison.entries]
    if not architectures and prepared.space.size > 1:
        trained.append(prepared.space.first())
    specs = [prepared.space.decode(architecture) for architecture in trained]
    dearest = max(specs, key=lambda spec: cost(spec).ops)
    network = build(dearest)
    set_threads(threads_of(stage.retrain))
    steps = prepared.steps_per_epoch * stage.retrain.total_epochs
    one = _training(run, network, network, dearest, stage.retrain, steps)
    number = len(trained) * stage.retrain.seeds
    side_by_side = max(stage.retrain.workers, 1)
    return {
        **one,
        "networks": number,
        "time_s": round(one["time_s"] * number / side_by_side, 1),
        "memory_bytes": one["memory_bytes"] * side_by_side,
        "disk_bytes": one["disk_bytes"] * number,
        **({"warnings": said} if (said := prepared.comparison.warnings(prepared.space)) else {}),
    }


def estimate_audit(stage: AuditStage, run: Path, supernet: Path | None = None) -> dict[str, Any]:
    """The supernets that are not given, then the dearest network's time for as many as there are.

    Raises:
        UserError: what the audit itself would refuse before starting.
    """
    prepared = prepare_audit(stage, supernet)
    space, config = prepared.space, stage.audit
    specs = [space.decode(architecture) for architecture in prepared.architectures]
    dearest = max(specs, key=lambda spec: cost(spec).ops)
    network = build(dearest)
    set_threads(threads_of(config))
    steps = prepared.steps_per_epoch * config.total_epochs
    one = _training(run, network, network, dearest, config, steps)
    number, side_by_side = len(specs) * config.seeds, max(config.workers, 1)
    networks_s = round(one["time_s"] * number / side_by_side, 1)
    supernets = []
    set_threads(stage.supernet.threads)
    per_epoch = steps_per_epoch(prepared.data.train, stage.supernet)
    for rule in prepared.rules:
        if rule.trained is None:
            whole = Supernet(space, stage.supernet.sharing)
            drawn = draw_paths(space, rule.stage.supernet.sampling, stream(stage.seed, "estimate"))
            passes = per_epoch * stage.supernet.total_epochs * len(drawn)
            path = whole.path(drawn[0])
            made = _training(run, whole, path, dearest, stage.supernet, passes)
            supernets.append(made)
    return {
        "run": str(run),
        "device": one["device"],
        "supernets": len(supernets),
        "networks": number,
        "network_s": one["time_s"],
        "time_s": round(networks_s + sum(made["time_s"] for made in supernets), 1),
        "memory_bytes": max(
            one["memory_bytes"] * side_by_side, *(made["memory_bytes"] for made in supernets), 0
        ),
        "disk_bytes": one["disk_bytes"] * number + sum(made["disk_bytes"] for made in supernets),
    }


def _training(
    run: Path,
    module: nn.Module,
    path: nn.Module,
    spec: NetworkSpec,
    settings: TrainingSettings,
    steps: int,
) -> dict[str, Any]:
    device = choose_device(settings.device)
    seconds = training_step_seconds(module, path, spec, settings.batch_size, device)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return {
        "run": str(run),
        "device": str(device),
        "steps": steps,
        "time_s": round(steps * seconds, 1),
        "parameters": parameters,
        "memory_bytes": BYTES_PER_PARAMETER * parameters,
        "disk_bytes": 4 * parameters,
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
    workers = max(stage.search.workers, 1)
    parameters = cost(spec).parameters
    return {
        "run": str(run),
        "device": str(device),
        "candidates": stage.search.budget,
        "images_per_candidate": images,
        "time_s": round(stage.search.budget * images * per_image / workers, 1),
        "memory_bytes": 4 * parameters * workers + images * spec.image_size**2 * spec.in_channels,
        # One line of about 600 bytes a candidate.
        "disk_bytes": 600 * stage.search.budget,
    }

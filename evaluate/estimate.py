"""What a stage would take: --dry-run's time, memory and disk, measured on a few real steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from evaluate.retrain import RetrainStage, comparison
from supernet.costs import cost
from supernet.network import build
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.supernet import Supernet
from training.compilation import time_step
from training.data import open_training_data
from training.device import choose_device, set_threads
from training.fit_check import check_fit
from training.loop import steps_per_epoch
from training.seeds import stream
from training.settings import TrainingSettings
from training.supernet_training import SupernetStage

BYTES_PER_PARAMETER = 16  # fp32 weight, gradient and Adam's two moments
IMAGES_TIMED = 256


def estimate(stage: Any, run: Path) -> dict[str, Any]:
    """Time, memory and disk of a stage without starting it; times are of uncompiled steps.

    Raises:
        UserError: what the stage itself would refuse before starting.
    """
    space = space_from_description(stage.space)
    data = open_training_data(stage.data)
    check_fit(space.decode(space.first()), data)
    if isinstance(stage, SupernetStage):
        supernet = Supernet(space, stage.supernet.sharing)
        steps = steps_per_epoch(data.train, stage.supernet) * stage.supernet.epochs
        path = supernet.path(space.sample(stream(stage.seed, "estimate")))
        return _training(run, supernet, path, space, stage.supernet, steps)
    if isinstance(stage, RetrainStage):
        entries = comparison(space, [space.first()], stage, stage.retrain.limits or {})
        steps = steps_per_epoch(data.everything, stage.retrain) * stage.retrain.epochs
        network = build(space.decode(space.first()))
        number = len(entries) * stage.retrain.seeds
        one = _training(run, network, network, space, stage.retrain, steps)
        side_by_side = max(stage.retrain.workers, 1)
        return {
            **one,
            "networks": number,
            "time_s": round(one["time_s"] * number / side_by_side, 1),
            "memory_bytes": one["memory_bytes"] * side_by_side,
            "disk_bytes": one["disk_bytes"] * number,
        }
    return _search(stage, run, space, len(data.search))


def _training(
    run: Path,
    module: nn.Module,
    path: nn.Module,
    space: SearchSpace,
    settings: TrainingSettings,
    steps: int,
) -> dict[str, Any]:
    device = choose_device(settings.device)
    set_threads(settings.threads)
    module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    spec = space.decode(space.first())
    x = torch.zeros(
        settings.batch_size, spec.in_channels, spec.image_size, spec.image_size, device=device
    ).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(settings.batch_size, dtype=torch.long, device=device)
    seconds = time_step(module, lambda: F.cross_entropy(path(x), labels).backward())
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
    """Forward passes alone: calibration and search images of every candidate."""
    scoring = stage.search.scoring
    device = choose_device(scoring.device)
    torch.set_num_threads(scoring.threads)
    spec = space.decode(space.first())
    network = build(spec).to(device).eval()
    x = torch.zeros(IMAGES_TIMED, spec.in_channels, spec.image_size, spec.image_size, device=device)

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

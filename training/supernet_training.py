"""Stage 1: train one supernet whose weights all architectures of a space share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional as F

from supernet.blocks.binary_unit import Sharing
from supernet.files import save_weights
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.supernet import Supernet
from training.compilation import decide, num_graphs, time_step
from training.data import DataConfig, open_training_data
from training.data.training_data import TrainingData
from training.device import choose_device, choose_precision, set_threads
from training.fit_check import check_fit
from training.loop import LoopHooks, Normalisation, steps_per_epoch, train
from training.path_sampling import (
    PathSamplingConfig,
    UpdateCounts,
    check_sampling,
    draw_paths,
)
from training.run_folder import RunFolder
from training.run_log import TrainingLog
from training.seeds import derive_seed, stream
from training.settings import TrainingSettings

STAGE = "supernet"
WEIGHTS = "supernet.safetensors"


class SupernetConfig(TrainingSettings):
    """Training settings, how weights are shared among choices, and which paths are drawn."""

    sharing: Sharing = "independent"
    sampling: PathSamplingConfig = PathSamplingConfig()


class SupernetStage(BaseModel):
    """Everything `train_supernet` needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: dict[str, Any]
    data: DataConfig = Field(default_factory=lambda: DataConfig(name="fashion-mnist-mini"))
    supernet: SupernetConfig = SupernetConfig()
    seed: int = 0


def train_supernet(stage: SupernetStage, run: Path) -> dict[str, Any]:
    """Train a supernet into the run folder `run`, resuming where it was interrupted.

    Writes supernet.safetensors and returns the run's summary.

    Raises:
        UserError: space and data do not fit, or the folder holds another run.
    """
    space = space_from_description(stage.space)
    settings = stage.supernet
    # Everything that the user can have got wrong comes before the run folder is made: a corrected
    # command must not meet the folder of a mistaken one.
    data = open_training_data(stage.data)
    check_fit(space.decode(space.first()), data)
    check_sampling(space, settings.sampling, stream(stage.seed, "check sampling"))
    steps_per_epoch(data.train, settings)
    data.mean  # reads a sample of the images, which finds a damaged one  # noqa: B018
    device = choose_device(settings.device)
    config = {**stage.model_dump(mode="json"), "space": space.describe()}
    folder = RunFolder.open(run, STAGE, config)
    with folder.lock():
        if folder.summary is not None:
            return folder.summary
        return _train(space, stage, data, device, folder)


def _train(
    space: SearchSpace,
    stage: SupernetStage,
    data: TrainingData,
    device: torch.device,
    folder: RunFolder,
) -> dict[str, Any]:
    settings = stage.supernet
    folder.record_once("data", data.manifest())
    # Kept for a resume: another number of threads or another precision gives other last bits.
    threads = set_threads(folder.record_once("threads", set_threads(settings.threads)))

    torch.manual_seed(derive_seed(stage.seed, "initialise"))
    supernet = Supernet(space, settings.sharing)
    supernet.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = _compile_if_it_pays(supernet, stage, data, device, folder)
    precision: Any = folder.record_once(
        "precision", choose_precision(settings.precision, device, compiled)
    )
    supernet.set_precision(precision)
    reason = folder.manifest["compile"]["reason"]
    print(
        f"supernet: {device}, {threads} thread(s), {precision}, "
        f"{'compiled' if compiled else 'not compiled'} ({reason})",
        file=sys.stderr,
    )
    folder.log(
        "started",
        device=str(device),
        threads=threads,
        precision=precision,
        compiled=compiled,
        parameters=sum(parameter.numel() for parameter in supernet.parameters()),
    )

    counts = UpdateCounts()
    image_size = space.decode(space.first()).image_size
    with TrainingLog(folder, STAGE, settings.tensorboard) as log:
        hooks = LoopHooks(
            paths=_path_drawer(supernet, stage, counts),
            log=log,
            extra_state=lambda: {"update_counts": counts.as_dict()},
            load_extra_state=lambda state: counts.load(state["update_counts"]),
        )
        train(
            supernet,
            data.train,
            settings,
            Normalisation(data.mean, data.std, image_size),
            hooks,
            seed=derive_seed(stage.seed, STAGE),
            device=device,
            checkpoint=folder.path / "checkpoint.pt",
            label="supernet",
        )
    save_weights(folder.path / WEIGHTS, supernet.state_dict(), {"sharing": settings.sharing})
    summary = {
        "weights": WEIGHTS,
        "steps": steps_per_epoch(data.train, settings) * settings.epochs,
        "update_counts": counts.as_dict(),
    }
    folder.finish(summary)
    (folder.path / "checkpoint.pt").unlink(missing_ok=True)
    return summary


def _path_drawer(
    supernet: Supernet, stage: SupernetStage, counts: UpdateCounts
) -> Callable[[int], list[torch.nn.Module]]:
    """Draw the paths of a step from (seed, step) alone, and count them."""

    def paths(step: int) -> list[torch.nn.Module]:
        rng = stream(stage.seed, "paths", step)
        drawn = draw_paths(supernet.space, stage.supernet.sampling, rng)
        for architecture in drawn:
            counts.add(architecture)
        return [supernet.path(architecture) for architecture in drawn]

    return paths


def _compile_if_it_pays(
    supernet: Supernet,
    stage: SupernetStage,
    data: TrainingData,
    device: torch.device,
    folder: RunFolder,
) -> bool:
    """Decide once a run: compiled and eager arithmetic differ in the last bits."""
    decided = folder.manifest.get("compile")
    if decided is None:
        settings, space = stage.supernet, supernet.space
        candidates = [block for blocks in space.block_candidates() for block in blocks]
        spec = space.decode(space.first())
        x = torch.zeros(
            settings.batch_size, spec.in_channels, spec.image_size, spec.image_size, device=device
        ).contiguous(memory_format=torch.channels_last)
        labels = torch.zeros(settings.batch_size, dtype=torch.long, device=device)
        path = supernet.path(space.sample(stream(stage.seed, "time a step")))
        decision = decide(
            settings.compile,
            device,
            num_graphs(candidates),
            steps_per_epoch(data.train, settings) * settings.epochs,
            lambda: time_step(supernet, lambda: F.cross_entropy(path(x), labels).backward()),
        )
        decided = {"compile": decision.compile, "reason": decision.reason}
        folder.record("compile", decided)
    if decided["compile"]:
        supernet.compile_units()
    return bool(decided["compile"])


def load_supernet(run: Path) -> Supernet:
    """The trained supernet of a finished run folder, on the CPU.

    Raises:
        UserError: not a finished supernet run, or weights that do not fit its space.
    """
    from supernet.files import check_names_and_shapes, load_weights
    from training.run_folder import open_finished

    folder = open_finished(run, STAGE)
    tensors, metadata = load_weights(folder.path / WEIGHTS)
    with torch.device("meta"):
        sharing: Any = metadata.get("sharing", "independent")
        supernet = Supernet(space_from_description(folder.config["space"]), sharing)
    check_names_and_shapes(tensors, supernet.state_dict(), folder.path / WEIGHTS)
    supernet.load_state_dict(tensors, assign=True)
    return supernet

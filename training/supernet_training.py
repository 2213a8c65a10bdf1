"""Stage 1: train one supernet whose weights all architectures of a space share."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from supernet.binarization import Binarization
from supernet.files import save_weights
from supernet.sharing import FROM_LARGEST
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spec import BlockSpec
from supernet.supernet import Supernet
from training.compilation import CompileDecision, decide, num_graphs, time_step
from training.data import open_training_data
from training.data.normalisation import Normalisation
from training.data.training_data import TrainingData
from training.device import choose_device, choose_precision, set_threads
from training.loop.batches import steps_per_epoch
from training.loop.loop import LoopHooks
from training.loop.losses import InPlaceLoss, Loss
from training.loop.phases import (
    CHECKPOINT,
    PhaseHooks,
    initialise,
    inputs_of,
    loss_of,
    num_settings,
    train_in_phases,
)
from training.loop.settings import TrainingSettings
from training.path_sampling import DrawRecord, PathDrawer
from training.processes.distributed import check_sharing, locked, on_first, part, processes
from training.run_files.folder import RunFolder
from training.run_files.log import TrainingLog
from training.seeds import derive_seed, stream
from training.supernet_file import STAGE, WEIGHTS
from training.supernet_stage import SupernetConfig as SupernetConfig
from training.supernet_stage import SupernetStage as SupernetStage
from training.supernet_stage import check_stage as check_stage


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
    check_stage(space, stage, data)
    config = {**stage.model_dump(mode="json"), "space": space.describe()}
    with processes(settings.device):
        check_sharing(settings.batch_size, settings.compile, settings.shared_norms)
        device = choose_device(settings.device)
        folder = on_first(lambda: RunFolder.open(run, STAGE, config, inputs_of(settings)))
        with locked(folder):
            if (summary := on_first(lambda: folder.summary)) is not None:
                return summary
            return _train(space, stage, data, device, folder)


def _train(
    space: SearchSpace,
    stage: SupernetStage,
    data: TrainingData,
    device: torch.device,
    folder: RunFolder,
) -> dict[str, Any]:
    settings = stage.supernet
    on_first(lambda: folder.record_once("data", data.manifest()))
    # Kept for a resume: another number of threads or another precision gives other last bits.
    found = set_threads(settings.threads)
    threads = set_threads(on_first(lambda: folder.record_once("threads", found)))

    torch.manual_seed(derive_seed(stage.seed, "initialise"))
    supernet = Supernet(space, settings.sharing)
    initialise(supernet, settings)
    supernet.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = _compile_if_it_pays(supernet, stage, data, device, folder)
    wanted = choose_precision(settings.precision, device, compiled)
    precision: Any = on_first(lambda: folder.record_once("precision", wanted))
    supernet.set_precision(precision)
    on_first(lambda: _say_started(folder, supernet, device, threads, precision, compiled))

    spec = space.decode(space.first())
    normalisation = Normalisation(data.mean, data.std, spec.image_size)

    record = DrawRecord(space, settings.sampling)
    drawer = PathDrawer(
        supernet,
        settings.sampling,
        record,
        seed=stage.seed,
        steps_per_epoch=steps_per_epoch(data.train, settings),
    )

    def begin(phase: TrainingSettings, number: int) -> None:
        supernet.set_binarization(phase.binarization)
        drawer.begin(number, sum(one.epochs for one in settings.in_phases()[: number - 1]))

    def loss(phase: TrainingSettings) -> Loss:
        of_labels = loss_of(phase, spec, normalisation, device)
        return InPlaceLoss(of_labels) if settings.sampling.is_distilled else of_labels

    def save(path: Path, phase: TrainingSettings, metadata: Mapping[str, str]) -> None:
        own = {"sharing": settings.sharing, **_describe(phase.binarization)}
        save_weights(path, supernet.state_dict(), {**own, **metadata})

    with TrainingLog(folder, STAGE, settings.tensorboard and part().rank == 0) as log:
        last = train_in_phases(
            supernet,
            data.train,
            settings,
            normalisation,
            LoopHooks(
                paths=drawer,
                log=log,
                extra_state=record.as_dict,
                load_extra_state=record.load,
            ),
            PhaseHooks(begin=begin, loss=loss, save=save),
            seed=derive_seed(stage.seed, STAGE),
            device=device,
            folder=folder.path,
            label="supernet",
        )
    summary = {
        "weights": WEIGHTS,
        "steps": steps_per_epoch(data.train, settings) * settings.total_epochs,
        **record.as_dict(),
    }

    def finish() -> None:
        save(folder.path / WEIGHTS, last, {})
        folder.finish(summary)
        (folder.path / CHECKPOINT).unlink(missing_ok=True)

    on_first(finish)
    return summary


def _say_started(
    folder: RunFolder,
    supernet: Supernet,
    device: torch.device,
    threads: int,
    precision: str,
    compiled: bool,
) -> None:
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


def _compile_if_it_pays(
    supernet: Supernet,
    stage: SupernetStage,
    data: TrainingData,
    device: torch.device,
    folder: RunFolder,
) -> bool:
    """Decide once a run: compiled and eager arithmetic differ in the last bits."""

    def decision() -> dict[str, Any]:
        made = decide_compile(supernet, stage, data, device)
        folder.record("compile", {"compile": made.compile, "reason": made.reason})
        return folder.manifest["compile"]

    decided = on_first(lambda: folder.manifest.get("compile")) or on_first(decision)
    if decided["compile"]:
        supernet.compile_units()
    return bool(decided["compile"])


def decide_compile(
    supernet: Supernet, stage: SupernetStage, data: TrainingData, device: torch.device
) -> CompileDecision:
    """Whether to compile `supernet`, which is on the device; times a few passes of one path."""
    settings, space = stage.supernet, supernet.space
    if supernet.sharing in FROM_LARGEST:
        reason = f"sharing '{supernet.sharing}': every path has shapes of its own"
        return CompileDecision(False, reason)
    candidates = _compiled_alternatives(supernet)
    spec = space.decode(space.first())
    x = torch.zeros(
        settings.batch_size, spec.in_channels, spec.image_size, spec.image_size, device=device
    ).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(settings.batch_size, dtype=torch.long, device=device)
    path = supernet.path(space.sample(stream(stage.seed, "time a step")))
    return decide(
        settings.compile,
        device,
        num_graphs(candidates) * num_settings(settings),
        steps_per_epoch(data.train, settings) * settings.total_epochs,
        lambda: time_step(supernet, lambda: F.cross_entropy(path(x), labels).backward()),
        waits_for_others=part().size > 1 and settings.shared_norms,
    )


def _compiled_alternatives(supernet: Supernet) -> list[BlockSpec]:
    """The blocks that can be compiled; none are where every path has shapes of its own."""
    if supernet.sharing in FROM_LARGEST:
        return []
    return [block for blocks in supernet.space.block_candidates().values() for block in blocks]


def _describe(binarization: Binarization) -> dict[str, str]:
    """Metadata of a supernet's weights: nothing for the default."""
    description = binarization.describe()
    return {"binarization": json.dumps(description)} if description else {}

"""Stage 1: train one supernet whose weights all architectures of a space share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from supernet.binarization import Binarization
from supernet.files import save_weights
from supernet.files.telling import tell
from supernet.sharing import FROM_LARGEST
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.supernet import Supernet
from training.compilation import (
    CompileDecision,
    decide,
    decided_once,
    num_graphs,
    tell_compiling,
    training_step_seconds,
)
from training.data.training_data import TrainingData, open_for
from training.device import choose_device, choose_precision, place, set_threads
from training.loop.batches import steps_per_epoch
from training.loop.loop import CHECKPOINT
from training.loop.losses import InPlaceLoss, Loss
from training.loop.phases import initialise, inputs_of, num_settings, train
from training.loop.settings import PhaseSettings
from training.loop.supervised import SupervisedTraining
from training.path_sampling import DrawRecord, PathDrawer
from training.processes.distributed import check_sharing, locked, on_first, part, processes
from training.run_files.folder import RunFolder
from training.run_files.log import TrainingLog
from training.run_files.same_run import recorded_config
from training.same_pictures import say_same_in_search
from training.seeds import derive_seed, stream
from training.split_facts import check_images, record_data
from training.supernet_file import STAGE, WEIGHTS
from training.supernet_stage import SupernetConfig, SupernetStage, check_stage


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
    data = open_for(space, stage.data)
    check_stage(space, stage, data)
    with processes(settings.device):
        check_sharing(settings.batch_size, settings.compile, settings.shared_norms)
        config, inputs = recorded_config(stage), inputs_of(settings)
        folder = on_first(lambda: RunFolder.open(run, STAGE, config, inputs, SupernetStage))
        with locked(folder):
            on_first(lambda: check_images(folder, data.manifest, lambda: data.facts))
            if (summary := on_first(lambda: folder.summary)) is not None:
                return summary
            if on_first(lambda: record_data(folder, data.manifest(), data.facts)):
                on_first(lambda: say_same_in_search(data))
            # Kept for a resume: another number of threads gives other last bits.
            found = set_threads(settings.threads)
            set_threads(on_first(lambda: folder.record_once("threads", found)))
            return _train(plan(stage, space, data, folder.path), folder)


def plan(
    stage: SupernetStage, space: SearchSpace, data: TrainingData, folder: Path
) -> SupernetTraining:
    """The training of a checked stage as it begins: in fp32, not compiled."""
    settings, device = stage.supernet, choose_device(stage.supernet.device)
    torch.manual_seed(derive_seed(stage.seed, "initialise"))
    supernet = Supernet(space, settings.sharing)
    initialise(supernet, settings)
    place(supernet, device)
    record = DrawRecord(space, settings.sampling)
    spec, per_epoch = space.decode(space.first()), steps_per_epoch(data.train, settings)
    return SupernetTraining(
        module=supernet,
        images=data.train,
        seen=data.seen_by(spec),
        seed=derive_seed(stage.seed, STAGE),
        device=device,
        folder=folder,
        label="supernet",
        settings=settings,
        spec=spec,
        record=record,
        drawer=PathDrawer(
            supernet, settings.sampling, record, seed=stage.seed, steps_per_epoch=per_epoch
        ),
    )


@dataclass(kw_only=True)
class SupernetTraining(SupervisedTraining):
    """The training of shared weights: each step draws the paths it updates."""

    module: Supernet
    settings: SupernetConfig
    record: DrawRecord
    drawer: PathDrawer

    def begin(self, number: int) -> None:
        super().begin(number)
        self.module.set_binarization(self.phases[number - 1].binarization)
        self.drawer.begin(number, sum(phase.epochs for phase in self.phases[: number - 1]))

    def paths(self, step: int) -> Sequence[nn.Module]:
        return self.drawer(step)

    def loss(self, settings: PhaseSettings) -> Loss:
        of_labels = super().loss(settings)
        return InPlaceLoss(of_labels) if self.settings.sampling.is_distilled else of_labels

    def extra(self) -> dict[str, Any]:
        return self.record.as_dict()

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        self.record.load(extra)

    def save(self, path: Path, number: int, metadata: Mapping[str, str]) -> None:
        described = _describe(self.phases[number - 1].binarization)
        own = {"sharing": self.settings.sharing, **described}
        save_weights(path, self.module.state_dict(), {**own, **metadata})

    def compile_decision(self) -> CompileDecision:
        """Whether to compile; times a few passes of one path."""
        supernet, settings = self.module, self.settings
        if supernet.sharing in FROM_LARGEST:
            reason = f"sharing '{supernet.sharing}': every path has shapes of its own"
            return CompileDecision(False, reason)
        blocks = [one for many in supernet.space.block_candidates().values() for one in many]
        path = supernet.path(supernet.space.sample(stream(self.seed, "time a step")))

        def eager_step_seconds() -> float:
            return training_step_seconds(
                supernet, path, self.spec, settings.batch_size, self.device
            )

        return decide(
            settings.compile,
            self.device,
            num_graphs(blocks) * num_settings(settings),
            steps_per_epoch(self.images, settings) * settings.total_epochs,
            eager_step_seconds,
            waits_for_others=part().size > 1 and settings.shared_norms,
        )


def _train(training: SupernetTraining, folder: RunFolder) -> dict[str, Any]:
    settings, supernet, device = training.settings, training.module, training.device
    compiled = decided_once(folder, training.compile_decision)
    if compiled:
        supernet.compile_units()
    # Kept for a resume: another precision gives other last bits.
    wanted = choose_precision(settings.precision, device, compiled)
    precision: Any = on_first(lambda: folder.record_once("precision", wanted))
    supernet.set_precision(precision)
    on_first(lambda: _say_started(folder, training, precision, compiled))
    if compiled:
        tell_compiling(training.label)
    with TrainingLog(folder, STAGE, settings.tensorboard and part().rank == 0) as log:
        train(training, log)
    summary = {
        "weights": WEIGHTS,
        "steps": steps_per_epoch(training.images, settings) * settings.total_epochs,
        **training.record.as_dict(),
    }

    def finish() -> None:
        training.save(folder.path / WEIGHTS, len(training.phases), {})
        folder.finish(summary)
        (folder.path / CHECKPOINT).unlink(missing_ok=True)

    on_first(finish)
    return summary


def _say_started(
    folder: RunFolder, training: SupernetTraining, precision: str, compiled: bool
) -> None:
    device, threads = training.device, folder.manifest["threads"]
    reason = folder.manifest["compile"]["reason"]
    tell(
        f"supernet: {device}, {threads} thread(s), {precision}, "
        f"{'compiled' if compiled else 'not compiled'} ({reason})"
    )
    folder.log(
        "started",
        device=str(device),
        threads=threads,
        processes=part().size,
        precision=precision,
        compiled=compiled,
        parameters=sum(parameter.numel() for parameter in training.module.parameters()),
    )


def _describe(binarization: Binarization) -> dict[str, str]:
    """Metadata of a supernet's weights: nothing for the default."""
    description = binarization.describe()
    return {"binarization": json.dumps(description)} if description else {}

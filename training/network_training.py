"""Stage 3: train one stand-alone network from scratch, on all training images unless told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from supernet.architecture import Architecture
from supernet.blocks.building import set_binarization, set_precision
from supernet.files import RunFailed
from supernet.finite import NotFiniteError
from supernet.layers.binary_conv import Precision
from supernet.network import Network, build, compile_units
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.compilation import tell_compiling
from training.data import DataConfig, TrainingData
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation
from training.data.training_data import check_fit, open_for
from training.device import choose_device, choose_precision, place, set_threads
from training.loop.loop import CHECKPOINT
from training.loop.phases import initialise, train
from training.loop.settings import TrainingSettings
from training.loop.starting_weights import read_start
from training.loop.supervised import SupervisedTraining
from training.network_file import TrainedNetwork, save_network
from training.processes.distributed import on_first, part
from training.run_files.folder import RunFolder
from training.run_files.log import TrainingLog
from training.scoring.calibration import calibrate_batch_norm
from training.seeds import derive_seed, torch_stream
from training.split_facts import SplitFacts, check_same

WEIGHTS = "network.safetensors"


def calibrate(
    network: nn.Module,
    images: ImageSet,
    drawn: Tensor,
    batch_size: int,
    normalisation: Normalisation,
    device: torch.device,
) -> None:
    """BatchNorm statistics over the images numbered `drawn`, unvaried, in full batches.

    "Single Path One-Shot" (arXiv 1904.00420) ends its retraining so: running averages follow the
    weights of the last few steps, on small maps by few numbers each.

    Raises:
        RunFailed: a statistic is not a finite number.
    """
    whole = drawn[: len(drawn) // batch_size * batch_size]
    try:
        calibrate_batch_norm(
            network,
            (
                normalisation.apply(pixels).contiguous(memory_format=torch.channels_last)
                for pixels, _ in images.batches(whole, batch_size, device)
            ),
        )
    except NotFiniteError as error:
        raise RunFailed(f"{error}; lower learning_rate") from error


@dataclass(frozen=True)
class TrainingJob:
    """One network to train; plain data, so that it can be sent to another process.

    Jobs of equal `seed` see the same images in the same order with the same augmentation,
    whatever their architecture: their results can be compared in pairs. `images`: 'everything' is
    the train and search splits together; 'train' leaves the search split to be scored on.
    """

    name: str
    space: dict
    choices: dict
    data: DataConfig
    settings: TrainingSettings
    seed: int
    compile: bool
    folder: Path
    images: Literal["everything", "train"] = "everything"
    facts: SplitFacts | None = None
    """The hashes of the splits that all jobs of a run are trained on."""


def train_network(job: TrainingJob) -> Path:
    """Train the job's network and return its file; resumes, and does nothing when it is done.

    Where torchrun started several processes, all of them call it; the first one writes.
    """
    path = job.folder / WEIGHTS
    if on_first(path.exists):
        return path
    data = open_for(space_from_description(job.space), job.data)
    if job.facts is not None:
        check_same(job.facts, data.facts, f"data set '{job.data.name}'", "its run was started")
    training = plan(job, data)
    settings, folder = job.settings, RunFolder(job.folder, "network")

    def begin() -> None:
        job.folder.mkdir(parents=True, exist_ok=True)
        folder.log(
            "started",
            device=str(training.device),
            threads=torch.get_num_threads(),
            processes=part().size,
            precision=training.precision,
            compiled=job.compile,
        )

    on_first(begin)
    if job.compile:
        tell_compiling(job.name)
    with TrainingLog(folder, job.name, settings.tensorboard and part().rank == 0) as log:
        train(training, log)
    if settings.calibration_images:
        images = training.images
        drawn = torch.randperm(len(images), generator=torch_stream(job.seed, "calibration"))
        drawn = drawn[: settings.calibration_images]
        calibrate(
            training.module, images, drawn, settings.batch_size, training.seen, training.device
        )

    def finish() -> None:
        training.save(path, len(training.phases), {})
        (job.folder / CHECKPOINT).unlink(missing_ok=True)
        folder.log("trained")

    on_first(finish)
    return path


def plan(job: TrainingJob, data: TrainingData) -> NetworkTraining:
    """The training of a job as it begins.

    Raises:
        UserError: the network does not fit the images.
    """
    settings = job.settings
    space = space_from_description(job.space)
    architecture: Architecture = space.architecture(job.choices)
    spec = space.decode(architecture)
    check_fit(spec, data)
    device = choose_device(settings.device)
    set_threads(settings.threads)
    torch.manual_seed(derive_seed(job.seed, "initialise", architecture.id))
    network = build(spec)
    initialise(network, settings)
    place(network, device)
    precision = choose_precision(settings.precision, device, job.compile)
    set_precision(network, precision)
    if job.compile:
        compile_units(network)
    return NetworkTraining(
        module=network,
        images=data.train if job.images == "train" else data.everything,
        seen=data.seen_by(spec),
        seed=job.seed,
        device=device,
        folder=job.folder,
        label=job.name,
        settings=settings,
        spec=spec,
        space=space,
        architecture=architecture,
        data=data,
        precision=precision,
    )


@dataclass(kw_only=True)
class NetworkTraining(SupervisedTraining):
    """The training of one stand-alone network."""

    module: Network
    space: SearchSpace
    architecture: Architecture
    data: TrainingData
    precision: Precision

    def begin(self, number: int) -> None:
        super().begin(number)
        set_binarization(self.module, self.phases[number - 1].binarization)

    def paths(self, step: int) -> Sequence[nn.Module]:
        return [self.module]

    def start(self, path: Path) -> dict[str, Tensor]:
        return read_start(path, self.module, self.space, self.architecture)

    def save(self, path: Path, number: int, metadata: Mapping[str, str]) -> None:
        save_network(path, self.trained(number), metadata)

    def trained(self, number: int) -> TrainedNetwork:
        """The network as phase `number` leaves it, with all that its file says of it."""
        return TrainedNetwork(
            self.module,
            self.space,
            self.architecture,
            self.seen,
            self.data.class_names,
            self.data.config,
            self.phases[number - 1].binarization,
            self.data.facts,
            view=self.data.view,
        )

"""Stage 3: train one stand-alone network from scratch on all training images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from supernet.architecture import Architecture
from supernet.network import build, compile_units, set_precision
from supernet.spaces import space_from_description
from training.data import DataConfig, open_training_data
from training.device import choose_device, choose_precision, set_threads
from training.fit_check import check_fit
from training.loop import LoopHooks, Normalisation, train
from training.network_file import TrainedNetwork, save_network
from training.run_folder import RunFolder
from training.run_log import TrainingLog
from training.seeds import derive_seed
from training.settings import TrainingSettings

WEIGHTS = "network.safetensors"


@dataclass(frozen=True)
class TrainingJob:
    """One network to train; plain data, so that it can be sent to another process.

    Jobs of equal `seed` see the same images in the same order with the same augmentation,
    whatever their architecture: their results can be compared in pairs.
    """

    name: str
    space: dict
    choices: dict
    data: DataConfig
    settings: TrainingSettings
    seed: int
    compile: bool
    folder: Path


def train_network(job: TrainingJob) -> Path:
    """Train the job's network and return its file; resumes, and does nothing when it is done."""
    path = job.folder / WEIGHTS
    if path.exists():
        return path
    settings = job.settings
    space = space_from_description(job.space)
    architecture: Architecture = space.architecture(job.choices)
    spec = space.decode(architecture)
    data = open_training_data(job.data)
    check_fit(spec, data)
    device = choose_device(settings.device)
    set_threads(settings.threads)

    torch.manual_seed(derive_seed(job.seed, "initialise", architecture.id))
    network = build(spec)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    precision = choose_precision(settings.precision, device, job.compile)
    set_precision(network, precision)
    if job.compile:
        compile_units(network)
    normalisation = Normalisation(data.mean, data.std, spec.image_size)
    folder = RunFolder(job.folder, "network")
    job.folder.mkdir(parents=True, exist_ok=True)
    folder.log("started", device=str(device), precision=precision, compiled=job.compile)
    with TrainingLog(folder, job.name, settings.tensorboard) as log:
        train(
            network,
            data.everything,
            settings,
            normalisation,
            LoopHooks(paths=lambda step: [network], log=log),
            seed=job.seed,
            device=device,
            checkpoint=job.folder / "checkpoint.pt",
            label=job.name,
        )
    trained = TrainedNetwork(
        network.cpu(), space, architecture, normalisation, data.class_names, job.data
    )
    save_network(path, trained)
    (job.folder / "checkpoint.pt").unlink(missing_ok=True)
    return path

"""The stage `pretrain`: one network learns features without labels, for a later `retrain`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from supernet.architecture import Architecture
from supernet.architecture_file import load_architecture
from supernet.blocks.building import set_binarization
from supernet.files import UserError
from supernet.files.telling import tell
from supernet.network import Network, build, stand_alone_copy
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spec import NetworkSpec
from training.data import TrainingData
from training.data.normalisation import Normalisation
from training.data.training_data import check_fit, open_for
from training.device import choose_device, place, set_threads
from training.loop.batches import steps_per_epoch
from training.loop.loop import CHECKPOINT, train_phase
from training.loop.phases import initialise
from training.network_file import TrainedNetwork, save_network
from training.network_training import calibrate
from training.optim.build import binary_weights
from training.pretraining.build import build_method
from training.pretraining.config import PretrainConfig, PretrainStage
from training.pretraining.encoder import Encoder, num_features
from training.pretraining.pretraining import Pretraining
from training.pretraining.probes import Line, features_of, fit_line, score_features
from training.pretraining.swav import lightly_parts
from training.processes.distributed import check_sharing, locked, on_first, part, processes
from training.run_files.folder import RunFolder
from training.run_files.log import TrainingLog
from training.run_files.same_run import recorded_config
from training.same_pictures import say_same_in_search
from training.seeds import derive_seed, torch_stream
from training.split_facts import check_images, record_data

STAGE = "pretrain"
WEIGHTS = "encoder.safetensors"
PROBE = "probe.safetensors"


@dataclass(frozen=True)
class Prepared:
    """A pre-training whose input is checked."""

    space: SearchSpace
    architecture: Architecture
    spec: NetworkSpec
    data: TrainingData
    normalisation: Normalisation
    device: torch.device
    steps: int


def pretrain(stage: PretrainStage, architecture: Path | None, run: Path) -> dict[str, Any]:
    """Pre-train a network into the run folder `run`, resuming where it was interrupted.

    `architecture` is a file of the space; None where the space has one architecture. Writes
    encoder.safetensors, a network whose head is fresh, probe.safetensors, the same with the linear
    probe as its head (where their classes are the same), and returns the summary: kNN and a linear
    probe on the features of the train split, scored on the search split.

    Raises:
        UserError: what `prepare` refuses, or a folder that holds another run.
    """
    with processes(stage.pretrain.device):
        prepared = prepare(stage, architecture)
        config = recorded_config(stage)
        inputs = {} if architecture is None else {"architecture": architecture}
        folder = on_first(lambda: RunFolder.open(run, STAGE, config, inputs, PretrainStage))
        with locked(folder):
            data = prepared.data
            on_first(lambda: check_images(folder, data.manifest, lambda: data.facts))
            if (summary := on_first(lambda: folder.summary)) is not None:
                return summary
            return _pretrain(stage, prepared, folder)


def prepare(stage: PretrainStage, architecture: Path | None) -> Prepared:
    """Read and check everything that a pre-training needs, without writing anything.

    Raises:
        UserError: a batch that the processes cannot share, no architecture or one of another
            space, images that do not fit, a method whose library is not installed, a network
            without a head to take off, Bop without a binary convolution.
    """
    space, config = space_from_description(stage.space), stage.pretrain
    check_sharing(config.batch_size, "off", shared_norms=True)
    if architecture is not None:
        _, chosen, _ = load_architecture(architecture, expected_space=space)
    elif space.size == 1:
        chosen = space.first()
    else:
        raise UserError(
            f"expected the architecture file (ARCH.json) to pre-train: space '{space.name}' has "
            f"{space.size:,} architectures"
        )
    spec = space.decode(chosen)
    num_features(spec)
    if config.method == "swav":
        lightly_parts()
    data = open_for(space, stage.data)
    # The head does not learn: its classes may be those of another data set, to be trained on later.
    check_fit(replace(spec, num_classes=data.num_classes), data)
    if config.optimiser.bop is not None:
        with torch.device("meta"):
            if not binary_weights(build(spec)):
                raise UserError("optimiser.bop: the network has no binary convolution")
    if config.calibration_images > len(data.train):
        raise UserError(
            f"pretrain.calibration_images {config.calibration_images} are more than the "
            f"{len(data.train)} training images"
        )
    steps = steps_per_epoch(data.train, config) * config.epochs
    normalisation = data.seen_by(spec)
    device = choose_device(config.device)
    return Prepared(space, chosen, spec, data, normalisation, device, steps)


def plan(stage: PretrainStage, prepared: Prepared, folder: Path) -> Pretraining:
    """The pre-training as it begins: a network, and the method that shares its blocks."""
    config, device = stage.pretrain, prepared.device
    torch.manual_seed(derive_seed(stage.seed, STAGE, "initialise", prepared.architecture.id))
    network = build(prepared.spec)
    initialise(network, config.beginning())
    set_binarization(network, config.binarization)
    place(network, device)
    return Pretraining(
        module=build_method(Encoder(network), config).to(device),
        images=prepared.data.train,
        seen=prepared.normalisation,
        seed=derive_seed(stage.seed, STAGE),
        device=device,
        folder=folder,
        label=STAGE,
        network=network,
        settings=config,
    )


def _pretrain(stage: PretrainStage, prepared: Prepared, folder: RunFolder) -> dict[str, Any]:
    config, data, device = stage.pretrain, prepared.data, prepared.device
    if on_first(lambda: record_data(folder, data.manifest(), data.facts)):
        on_first(lambda: say_same_in_search(data))
    # Kept for a resume: another number of threads gives other last bits.
    found = set_threads(config.threads)
    threads = set_threads(on_first(lambda: folder.record_once("threads", found)))
    training = plan(stage, prepared, folder.path)

    def say_started() -> None:
        tell(f"{STAGE}: {device}, {threads} thread(s), fp32, not compiled")
        folder.log("started", device=str(device), threads=threads, steps=prepared.steps)

    on_first(say_started)
    with TrainingLog(folder, STAGE, config.tensorboard and part().rank == 0) as log:
        train_phase(training, 1, log)
    # A copy: its BatchNorms wait for no other process.
    return on_first(lambda: _finish(stage, prepared, stand_alone_copy(training.network), folder))


def _finish(
    stage: PretrainStage, prepared: Prepared, network: Network, folder: RunFolder
) -> dict[str, Any]:
    """Write what was learned, and score it."""
    config, data, device = stage.pretrain, prepared.data, prepared.device
    if config.calibration_images:
        generator = torch_stream(stage.seed, STAGE, "calibration")
        drawn = torch.randperm(len(data.train), generator=generator)[: config.calibration_images]
        calibrate(network, data.train, drawn, config.batch_size, prepared.normalisation, device)
    trained = _trained(stage, prepared, network)
    save_network(folder.path / WEIGHTS, trained)
    encoder = Encoder(network)
    known = features_of(encoder, data.train, prepared.normalisation, device)
    asked = features_of(encoder, data.search, prepared.normalisation, device)
    line = fit_line(known, num_classes=data.num_classes)
    summary = {
        "weights": WEIGHTS,
        "probe": _save_probe(folder.path / PROBE, trained, line),
        "steps": prepared.steps,
        "features": encoder.num_features,
        "search_split": scores_of(config, known, asked, line),
    }
    folder.finish(summary)
    (folder.path / CHECKPOINT).unlink(missing_ok=True)
    return summary


def _save_probe(path: Path, trained: TrainedNetwork, line: Line) -> str:
    """Write the network with `line` as its head; returns the file's name, or why there is none."""
    own, wanted = trained.network.spec.num_classes, len(line.bias)
    if own != wanted:
        return f"not written: the network has {own} classes, the data {wanted}"
    head = list(trained.network.children())[-1].get_submodule("linear")
    if head.bias is None:
        return "not written: the network's last layer has no bias, which the probe has"
    head.load_state_dict(line._asdict())
    save_network(path, trained)
    return path.name


def scores_of(
    config: PretrainConfig,
    known: tuple[torch.Tensor, torch.Tensor],
    asked: tuple[torch.Tensor, torch.Tensor],
    line: Line,
) -> dict[str, float]:
    """`score_features` with the neighbours that the config asks for."""
    return score_features(
        known,
        asked,
        line,
        neighbours=config.neighbours,
        temperature=config.neighbour_temperature,
    )


def _trained(stage: PretrainStage, prepared: Prepared, network: Network) -> TrainedNetwork:
    """The network with its fresh head; classes that are not the data's are numbered."""
    names, count = prepared.data.class_names, prepared.spec.num_classes
    return TrainedNetwork(
        network,
        prepared.space,
        prepared.architecture,
        prepared.normalisation,
        names if len(names) == count else tuple(f"class {number}" for number in range(count)),
        prepared.data.config,
        stage.pretrain.binarization,
        prepared.data.facts,
        view=prepared.data.view,
    )

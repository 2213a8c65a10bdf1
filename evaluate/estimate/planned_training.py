"""A training that is planned: made as it would be, and timed on its first steps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from evaluate.estimate.rehearsal import rehearse
from evaluate.retrain.config import RepeatedTraining
from evaluate.retrain.run import compile_decision, threads_of
from evaluate.score import BATCH, score_network
from supernet.architecture import Architecture
from supernet.blocks.building import set_binarization, set_precision
from supernet.costs import cost
from supernet.network import build
from supernet.space import SearchSpace
from supernet.supernet import Supernet
from training.compilation import TIME_SAVED, CompileDecision
from training.data import DataConfig, TrainingData, open_training_data
from training.data.normalisation import Normalisation
from training.device import choose_device, choose_precision, set_threads
from training.loop.batches import steps_per_epoch
from training.loop.losses import InPlaceLoss, Loss
from training.loop.phases import initialise, loss_of
from training.loop.settings import TrainingSettings
from training.network_file import TrainedNetwork
from training.path_sampling import DrawRecord, PathDrawer
from training.supernet_stage import SupernetStage
from training.supernet_training import decide_compile

RAY_START_SECONDS = 15.0
"""Starting Ray, and torch in each of its processes: 36 s on 2 cores that six programs shared."""


@dataclass(frozen=True)
class PlannedTraining:
    """`one_s`: seconds of one training, not compiled; `total_s`: of all `number`, compiled or not.

    `steps` and `parameters` are those of one.
    """

    device: torch.device
    number: int
    processes: int
    steps: int
    parameters: int
    compile: CompileDecision
    one_s: float
    total_s: float


def plan_supernet(space: SearchSpace, stage: SupernetStage, data: TrainingData) -> PlannedTraining:
    """As `train_supernet` makes and trains it, once `data` is opened and all is checked."""
    settings, began = stage.supernet, time.perf_counter()
    device = choose_device(settings.device)
    set_threads(settings.threads)
    supernet = Supernet(space, settings.sharing)
    initialise(supernet, settings)
    supernet.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = decide_compile(supernet, stage, data, device)
    supernet.set_precision(choose_precision(settings.precision, device, compiled=False))
    spec = space.decode(space.first())
    normalisation = Normalisation(data.mean, data.std, spec.image_size)
    per_epoch = steps_per_epoch(data.train, settings)
    record = DrawRecord(space, settings.sampling)
    drawer = PathDrawer(
        supernet, settings.sampling, record, seed=stage.seed, steps_per_epoch=per_epoch
    )

    def begin(phase: TrainingSettings, number: int) -> None:
        supernet.set_binarization(phase.binarization)
        drawer.begin(number, sum(one.epochs for one in settings.in_phases()[: number - 1]))

    def loss(phase: TrainingSettings) -> Loss:
        of_labels = loss_of(phase, spec, normalisation, device)
        return InPlaceLoss(of_labels) if settings.sampling.is_distilled else of_labels

    made_s = time.perf_counter() - began
    one_s = made_s + rehearse(
        supernet,
        data.train,
        settings,
        normalisation,
        paths=drawer,
        begin=begin,
        loss=loss,
        seed=stage.seed,
        device=device,
    )
    return PlannedTraining(
        device,
        1,
        1,
        per_epoch * settings.total_epochs,
        sum(parameter.numel() for parameter in supernet.parameters()),
        compiled,
        one_s,
        _compiled_s(one_s, compiled),
    )


def plan_networks(
    space: SearchSpace,
    architectures: Sequence[Architecture],
    settings: RepeatedTraining,
    config: DataConfig,
    *,
    on_everything: bool,
    seed: int,
) -> PlannedTraining:
    """As `train_and_score` makes, trains and scores them, each taken for the one of most OPs.

    `on_everything`: trained on the search split too. The test split stays closed: they are scored
    on the images of the search split, as if those were as many.
    """
    specs = [space.decode(architecture) for architecture in architectures]
    dearest = max(range(len(specs)), key=lambda n: cost(specs[n]).ops)
    spec = specs[dearest]
    device = choose_device(settings.device)

    began = time.perf_counter()
    data = open_training_data(config)
    images = data.everything if on_everything else data.train
    per_epoch = steps_per_epoch(images, settings)
    set_threads(threads_of(settings))
    network = build(spec)
    initialise(network, settings)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_precision(network, choose_precision(settings.precision, device, compiled=False))
    normalisation = Normalisation(data.mean, data.std, spec.image_size)
    made_s = time.perf_counter() - began

    trained_s = rehearse(
        network,
        images,
        settings,
        normalisation,
        paths=lambda step: [network],
        begin=lambda phase, _: set_binarization(network, phase.binarization),
        loss=lambda phase: loss_of(phase, spec, normalisation, device),
        seed=seed,
        device=device,
    )
    scored = data.search.subset(torch.arange(min(BATCH, len(data.search))))
    trained = TrainedNetwork(
        network,
        space,
        architectures[dearest],
        normalisation,
        data.class_names,
        config,
        settings.in_phases()[-1].binarization,
    )
    began = time.perf_counter()
    score_network(trained, scored, settings.device)
    image_s = (time.perf_counter() - began) / len(scored)
    one_s = made_s + trained_s + image_s * (len(data.search) + settings.calibration_images)

    compiled = compile_decision(settings, specs, per_epoch, device)
    number, workers = len(specs) * settings.seeds, settings.workers
    total_s = _compiled_s(math.ceil(number / max(workers, 1)) * one_s, compiled)
    if workers and number > 1:
        total_s += RAY_START_SECONDS
    return PlannedTraining(
        device,
        number,
        1 + workers,
        per_epoch * settings.total_epochs,
        sum(parameter.numel() for parameter in network.parameters()),
        compiled,
        one_s,
        total_s,
    )


def _compiled_s(uncompiled_s: float, decision: CompileDecision) -> float:
    """Seconds of trainings that take `uncompiled_s` so, and are compiled if so decided.

    What compiling saves was reckoned from other passes, at another load of the machine perhaps: of
    these seconds it is no greater share.
    """
    if not decision.compile:
        return uncompiled_s
    return uncompiled_s + decision.takes_s - min(decision.saves_s, TIME_SAVED * uncompiled_s)

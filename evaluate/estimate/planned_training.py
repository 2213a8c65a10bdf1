"""A training that is planned: made as it would be, and timed on its first steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from evaluate.estimate.rehearsal import rehearse
from evaluate.retrain.trainings import NetworkTrainings
from evaluate.score import BATCH, score_network
from supernet.architecture import Architecture
from supernet.costs import cost
from supernet.space import SearchSpace
from training import network_training, supernet_training
from training.compilation import TIME_SAVED, CompileDecision
from training.data import TrainingData, open_training_data
from training.device import choose_precision, set_threads
from training.loop.batches import steps_per_epoch
from training.supernet_stage import SupernetStage

NO_FOLDER = Path("rehearsal")
"""Where a planned training would keep its state; a rehearsal has a folder of its own."""

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
    set_threads(settings.threads)
    training = supernet_training.plan(stage, space, data, NO_FOLDER)
    supernet, device = training.module, training.device
    compiled = training.compile_decision()
    supernet.set_precision(choose_precision(settings.precision, device, compiled=False))
    one_s = time.perf_counter() - began + rehearse(training)
    return PlannedTraining(
        device,
        1,
        1,
        steps_per_epoch(data.train, settings) * settings.total_epochs,
        sum(parameter.numel() for parameter in supernet.parameters()),
        compiled,
        one_s,
        _compiled_s(one_s, compiled),
    )


def plan_networks(trainings: NetworkTrainings) -> PlannedTraining:
    """As `train_and_score` makes, trains and scores them, each taken for the one of most OPs.

    The test split stays closed: they are scored on the images of the search split, as if those
    were as many.
    """
    settings, dearest = trainings.settings, _dearest(trainings)
    began = time.perf_counter()
    data = open_training_data(trainings.data)
    job = trainings.job(dearest, 0, NO_FOLDER, compiled=False)
    training = network_training.plan(job, data)
    made_s = time.perf_counter() - began
    per_epoch = steps_per_epoch(training.images, settings)

    trained_s = rehearse(training)
    scored = data.search.subset(torch.arange(min(BATCH, len(data.search))))
    began = time.perf_counter()
    score_network(training.trained(len(training.phases)), scored, settings.device)
    image_s = (time.perf_counter() - began) / len(scored)
    one_s = made_s + trained_s + image_s * (len(data.search) + settings.calibration_images)

    compiled = trainings.compile_decision(per_epoch, training.device)
    number, workers = trainings.number, settings.workers
    total_s = _compiled_s(math.ceil(number / max(workers, 1)) * one_s, compiled)
    if workers and number > 1:
        total_s += RAY_START_SECONDS
    return PlannedTraining(
        training.device,
        number,
        1 + workers,
        per_epoch * settings.total_epochs,
        sum(parameter.numel() for parameter in training.module.parameters()),
        compiled,
        one_s,
        total_s,
    )


def _dearest(trainings: NetworkTrainings) -> Architecture:
    """The architecture of most OPs."""
    found = [cost(spec).ops for spec in trainings.specs]
    return trainings.architectures[max(range(len(found)), key=found.__getitem__)]


def _compiled_s(uncompiled_s: float, decision: CompileDecision) -> float:
    """Seconds of trainings that take `uncompiled_s` so, and are compiled if so decided.

    What compiling saves was reckoned from other passes, at another load of the machine perhaps: of
    these seconds it is no greater share.
    """
    if not decision.compile:
        return uncompiled_s
    return uncompiled_s + decision.takes_s - min(decision.saves_s, TIME_SAVED * uncompiled_s)

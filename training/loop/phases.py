"""A training of several phases: each begins with the weights that the one before ended with.

Two-step training (ReActNet, arXiv 2003.03488, section 4.4) has binary activations and real weights
first, then both binary; staged pre-training (Bi-Real Net, arXiv 1808.00278, section 3.4) goes from
ReLU over a leaky clip and a clip to signs. Names and shapes of the weights are the same in all
phases, and are demanded strictly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from supernet.files import UserError, check_names_and_shapes, load_weights
from supernet.files.telling import tell_once
from supernet.layers.initialisation import initialise_weights
from supernet.space import SearchSpace
from supernet.spec import NetworkSpec
from training.augment.attention import attentive, check_attention
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation
from training.frozen.teacher import open_teacher
from training.loop.loop import CHECKPOINT, Log, train_phase
from training.loop.settings import TrainingSettings
from training.loop.starting_weights import check_start
from training.loop.supervised import SupervisedTraining
from training.optim.build import binary_weights
from training.processes.distributed import part, state_of_first

EXTRA = "extra"
"""Where a phase's metadata keeps what the caller wants kept, as JSON."""


def check_phases(
    settings: TrainingSettings,
    normalisation: Normalisation,
    spec: NetworkSpec,
    modules: Callable[[], Iterable[nn.Module]],
    images: ImageSet,
    space: SearchSpace,
) -> None:
    """Refuse what cannot be trained on `images` before a run folder is made.

    `modules` gives the networks of `space` to be trained, of which names and shapes matter.

    Raises:
        UserError: Bop with real weights or without binary ones, a teacher that cannot be read or
            does not fit, such an extractor, or weights to start from that are not the networks'.
    """
    for number, phase in enumerate(settings.in_phases(), start=1):
        where = f"phase {number}: " if settings.phases else ""
        if phase.optimiser.bop is not None and phase.binarization.weights == "real":
            raise UserError(
                f"{where}optimiser.bop flips binary weights; binarization.weights is real"
            )
        if phase.optimiser.bop is not None and not all(map(binary_weights, modules())):
            raise UserError(f"{where}optimiser.bop: the network has no binary convolution")
    taught = [phase.distillation for phase in settings.in_phases()]
    check_attention(settings.augment.mix, images, normalisation)
    for config in dict.fromkeys(config for config in taught if config is not None):
        # Read whole: a teacher of a late phase must not be found wrong when the others are trained.
        open_teacher(
            config, normalisation, num_classes=spec.num_classes, device=torch.device("cpu")
        )
    last = settings.in_phases()[-1].binarization
    if not last.is_binary:
        tell_once(
            f"note: the network ends with {last.weights} weights and {last.activations} "
            f"activations; its OPs and bits are counted as if both were binary"
        )
    if settings.start_from is not None:
        check_start(settings.start_from, modules(), space)


def inputs_of(settings: TrainingSettings) -> dict[str, Path]:
    """The files and run folders that a training builds on, by what they are."""
    files = {"weights to start from": settings.start_from}
    for number, phase in enumerate(settings.in_phases(), start=1):
        if (config := phase.distillation) is not None:
            files[f"teacher of phase {number}"] = config.network.file
    if (attention := attentive(settings.augment.mix)) is not None:
        files["extractor"] = attention.network.file
    return {name: path for name, path in files.items() if path is not None}


def num_settings(settings: TrainingSettings) -> int:
    """How many ways of making a binary convolution the phases have: each is compiled for itself."""
    return len({phase.binarization for phase in settings.in_phases()})


def initialise(module: nn.Module, settings: TrainingSettings) -> None:
    """Draw the latent weights by the settings' rule, and set the norms' momentum.

    A fresh module has 'uniform' weights already: they are not drawn again.
    """
    if settings.initialisation != "uniform":
        initialise_weights(module, settings.initialisation)
    if settings.norm_momentum is not None:
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = settings.norm_momentum


def train(training: SupervisedTraining, log: Log) -> None:
    """Train through all phases, resuming in the training's folder.

    The weights after phase n stay there as phase<n>.safetensors; the last phase's are the caller's
    to save, as is the removal of the checkpoint.

    Raises:
        UserError: weights to start from whose names or shapes are not the module's.
    """
    phases = len(training.phases)
    for number in range(_done(training) + 1, phases + 1):
        train_phase(training, number, log)
        if number < phases and part().rank == 0:
            path = _after(training.folder, number)
            training.save(path, number, {EXTRA: json.dumps(training.extra())})
            (training.folder / CHECKPOINT).unlink(missing_ok=True)


def _after(folder: Path, number: int) -> Path:
    return folder / f"phase{number}.safetensors"


def _done(training: SupervisedTraining) -> int:
    """How many phases are done, once the weights that the next begins with are loaded."""
    module, folder = training.module, training.folder
    state: dict[str, Any] | None = None
    if part().rank == 0:
        earlier = range(1, len(training.phases))
        done = [number for number in earlier if _after(folder, number).exists()]
        state = {"done": done[-1] if done else 0}
        if done:
            state["tensors"], state["metadata"] = load_weights(_after(folder, done[-1]))
            check_names_and_shapes(state["tensors"], module.state_dict(), _after(folder, done[-1]))
        elif training.settings.start_from is not None:
            state["tensors"] = training.start(training.settings.start_from)
    state = state_of_first(state)
    assert state is not None
    if "tensors" in state:
        module.load_state_dict(state["tensors"])
        if state["done"]:
            training.load_extra(json.loads(state["metadata"][EXTRA]))
    return int(state["done"])

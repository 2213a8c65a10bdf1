"""A training by labels, or by a teacher's outputs: of a network, or of the paths of a supernet."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from supernet.layers.initialisation import initialise_weights
from supernet.sharing.shared_path import partial_regions
from supernet.spec import NetworkSpec
from training.augment.attention import Attention, open_attention
from training.frozen.teacher import open_teacher
from training.loop.batches import Images, Variation
from training.loop.drop_block import DropBlock
from training.loop.losses import DistillationLoss, LabelLoss, Loss
from training.loop.settings import PhaseSettings, TrainingSettings
from training.loop.starting_weights import read_start
from training.loop.training import Moment, Training
from training.optim import Optimiser, step_within
from training.processes.distributed import average_gradients, mean_over_processes
from training.seeds import derive_seed, torch_stream

Run = Callable[[nn.Module, Tensor], Tensor]
"""How a path is run on images: its logits."""


@dataclass(kw_only=True)
class SupervisedTraining(Training):
    """Each step: a forward and backward pass of each path on the same varied images, added up."""

    settings: TrainingSettings
    spec: NetworkSpec
    """Of any path: they see the same images and know the same classes."""
    _number: int = field(init=False, default=0)
    _loss: Loss = field(init=False, repr=False)
    _vary: Variation = field(init=False, repr=False)
    _logged: float = field(init=False, default=0.0)

    @property
    def phases(self) -> Sequence[TrainingSettings]:
        return self.settings.in_phases()

    @property
    def shared_norms(self) -> bool:
        return self.settings.shared_norms

    @abstractmethod
    def paths(self, step: int) -> Sequence[nn.Module]:
        """The networks whose gradients the step adds up, drawn from the step alone."""

    def loss(self, settings: PhaseSettings) -> Loss:
        """What a phase minimises: by the labels, or by a teacher's distribution, the teacher read.

        Raises:
            UserError: a teacher that cannot be read or does not fit the network.
        """
        config = settings.distillation
        if config is None:
            return LabelLoss(settings.label_smoothing)
        classes = self.spec.num_classes
        teacher = open_teacher(config, self.seen, num_classes=classes, device=self.device)
        return DistillationLoss(
            teacher, config.temperature, config.label_weight, settings.label_smoothing
        )

    def start(self, path: Path) -> dict[str, Tensor]:
        """The state dict that the module begins with, of the weights at `path`.

        Raises:
            UserError: they are not the module's.
        """
        return read_start(path, self.module)

    @abstractmethod
    def save(self, path: Path, number: int, metadata: Mapping[str, str]) -> None:
        """Write the weights, as phase `number` made them, under their names."""

    def extra(self) -> dict[str, Any]:
        """What is kept besides weights, as JSON has it."""
        return {}

    def load_extra(self, extra: Mapping[str, Any]) -> None:
        """Take up what `extra` gave."""

    def begin(self, number: int) -> None:
        settings = self.phases[number - 1]
        self._number, self._logged = number, time.monotonic()
        if settings.redraw is not None:  # a resume reads its checkpoint over it
            torch.manual_seed(derive_seed(self.seed, "redraw", number))
            initialise_weights(self.module, settings.redraw)
        self._loss = self.loss(settings)
        attention = open_attention(settings.augment.mix, self.images, self.seen, self.device)
        num_classes = len(self.images.class_names)
        self._vary = Variation(settings.augment, self.seen, num_classes, attention)

    def step(self, images: Images, moment: Moment, optimiser: Optimiser) -> Tensor:
        step, steps, own = moment
        batch = self._vary(images, steps.seed, step, own)
        run: Run = nn.Module.__call__
        if self.settings.drop_block is not None:
            drawn = torch_stream(steps.seed, "drop block", step)
            run = DropBlock(self.settings.drop_block, step / steps.total, drawn, own)
        return training_step(
            self.paths(step), self.module, optimiser, batch.images, batch.labels, self._loss, run
        )

    def figures(self) -> dict[str, float]:
        """The phase's number, the loss's own figures, and the extractor's share of the time."""
        shared = {name: mean_over_processes(n) for name, n in self._loss.figures().items()}
        found: dict[str, float] = {"phase": self._number, **shared}
        attention: Attention | None = self._vary.attention
        if attention is not None:
            now = time.monotonic()
            found["extractor_share"] = attention.stopwatch.take() / (now - self._logged)
            self._logged = now
        return found

    def state(self) -> dict[str, Any]:
        return {"phase": self._number, "module": self.module.state_dict(), "extra": self.extra()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.load_extra(state["extra"])


def training_step(
    paths: Sequence[nn.Module],
    module: nn.Module,
    optimiser: Optimiser,
    x: Tensor,
    labels: Tensor,
    loss: Loss,
    run: Run = nn.Module.__call__,
) -> Tensor:
    """One optimiser step over the summed gradients of `paths`; returns the mean loss, detached.

    Parts of shared parameters that no path uses do not move.
    """
    optimiser.zero_grad(set_to_none=True)
    targets = loss.targets(x, labels)
    losses = []
    for path in paths:
        value = loss(run(path, x), targets)
        value.backward()
        losses.append(value.detach())
    average_gradients(module.parameters())
    step_within(optimiser, partial_regions(paths))
    return torch.stack(losses).mean()

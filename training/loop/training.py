"""A training as one object: made by a stage, then run, resumed where it stopped, or rehearsed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation
from training.loop.batches import Images, Steps
from training.optim import Optimiser, OptimiserConfig
from training.processes.distributed import Part
from training.seeds import derive_seed


class PhaseConfig(Protocol):
    """What the loop reads of the settings of a phase."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def optimiser(self) -> OptimiserConfig: ...
    @property
    def checkpoint_seconds(self) -> float: ...
    @property
    def tensorboard(self) -> bool: ...


class Moment(NamedTuple):
    """Where in a phase a step is: its number, from 0, among all `steps`; this process's part."""

    step: int
    steps: Steps
    own: Part


@dataclass(kw_only=True)
class Training(ABC):
    """What learns, from which images, and where its state is kept; a subclass knows its step.

    `module` is trained in place. All that is drawn comes from `seed` and the number of a step.
    """

    module: nn.Module
    images: ImageSet
    seen: Normalisation
    seed: int
    device: torch.device
    folder: Path
    label: str

    keeps_last: ClassVar[bool] = False
    """Whether the state after the last step is kept, for work that comes after it."""

    @property
    def shared_norms(self) -> bool:
        """Whether BatchNorm statistics are over all processes."""
        return True

    @property
    @abstractmethod
    def phases(self) -> Sequence[PhaseConfig]:
        """The settings of each phase, complete."""

    @property
    def learning(self) -> nn.Module:
        """What the optimiser moves."""
        return self.module

    def steps(self, number: int) -> Steps:
        """The steps of phase `number`, from 1."""
        settings = self.phases[number - 1]
        # One phase draws what it drew before there were several.
        seed = self.seed if number == 1 else derive_seed(self.seed, "phase", number)
        return Steps(self.images, settings.batch_size, settings.epochs, seed)

    def label_of(self, number: int) -> str:
        """What a phase is called in what is said of it."""
        phases = len(self.phases)
        return self.label if phases == 1 else f"{self.label} phase {number} of {phases}"

    @abstractmethod
    def begin(self, number: int) -> None:
        """Make ready for phase `number`, whose weights are in place."""

    @abstractmethod
    def step(self, images: Images, moment: Moment, optimiser: Optimiser) -> Tensor:
        """Learn from one batch; returns the mean loss, detached.

        Parameters that the step does not use keep `grad=None` and do not move, moments included.
        """

    def figures(self) -> dict[str, float]:
        """Further numbers for the log, each since the last call; all processes ask together."""
        return {}

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps besides the optimiser."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave."""

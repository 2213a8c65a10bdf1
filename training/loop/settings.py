"""The training settings that supernets and stand-alone networks share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from supernet.binarization import Binarization
from supernet.layers.initialisation import WeightRule
from training.augment.config import AugmentConfig
from training.bounds import MAX_EPOCHS, MAX_FLOAT, MAX_IMAGES, MAX_SECONDS, MAX_THREADS
from training.device import DeviceName, PrecisionName
from training.frozen.config import DistillationConfig
from training.loop.drop_block import DropBlockConfig
from training.optim import OptimiserConfig
from training.run_files.same_run import CHANGES_NOTHING, CHANGES_ROUNDING
from training.section import Section


class PhaseSettings(Section):
    """What one phase of a training may have of its own: how long, by which rule, at what.

    Defaults are the Bi-Real Net recipe's (Adam 1e-3 at batch 512, linear decay, no weight decay,
    smoothing 0.1), with batch and rate scaled for small images. `binarization`: how the operands of
    the binary convolutions are made. `distillation`: a teacher whose outputs are learned. `redraw`:
    the rule by which the latent weights are drawn anew as the phase begins; all else is handed on.
    """

    epochs: int = Field(20, ge=1, le=MAX_EPOCHS)
    learning_rate: float = Field(3e-3, gt=0, le=MAX_FLOAT)
    weight_decay: float = Field(0.0, ge=0, le=MAX_FLOAT)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    optimiser: OptimiserConfig = OptimiserConfig()
    binarization: Binarization = Binarization()
    distillation: DistillationConfig | None = None
    redraw: WeightRule | None = None


class TrainingSettings(PhaseSettings):
    """How weights are learned, in one phase or in several after one another.

    `phases`: each begins with the weights that the one before ended with, and with a fresh
    optimiser and schedule; what it does not say is as above them. `initialise`: the latent weights
    at the start; 'auto' is kaiming for real weights, glorot-sign for Bop, else uniform.
    `start_from`: a file of weights to begin with, whose names must be the network's. A network also
    begins with its own path of a supernet of its space, named by the supernet's run folder; a
    supernet with one network's weights, on the path of its architecture.
    `norm_momentum`: of every BatchNorm; None leaves each its own. `calibration_images`: so many
    training images, as they are in evaluation, give a network's BatchNorm statistics at the end; 0
    leaves the running averages of training.
    `drop_block`: windows of feature maps that are zero in training; None drops nothing.
    `shared_norms`: where several processes train, BatchNorm statistics are over all of them.
    """

    phases: tuple[PhaseSettings, ...] = ()
    initialise: WeightRule | Literal["auto"] = "auto"
    start_from: Path | None = None
    batch_size: int = Field(128, ge=2, le=MAX_IMAGES)
    norm_momentum: float | None = Field(None, gt=0, le=1)
    calibration_images: int = Field(0, ge=0, le=MAX_IMAGES)
    augment: AugmentConfig = AugmentConfig()
    drop_block: DropBlockConfig | None = None
    precision: PrecisionName = "auto"
    compile: Annotated[Literal["auto", "on", "off"], CHANGES_ROUNDING] = "auto"
    device: Annotated[DeviceName, CHANGES_ROUNDING] = "auto"
    threads: Annotated[int | None, CHANGES_ROUNDING] = Field(None, ge=1, le=MAX_THREADS)
    shared_norms: bool = True
    checkpoint_seconds: Annotated[float, CHANGES_NOTHING] = Field(60.0, ge=0, le=MAX_SECONDS)
    tensorboard: Annotated[bool, CHANGES_NOTHING] = True

    @model_validator(mode="before")
    @classmethod
    def _fill_phases(cls, given: Any) -> Any:
        """Give each phase what it does not say itself."""
        if not isinstance(given, dict) or not isinstance(given.get("phases"), list | tuple):
            return given
        common = {name: given[name] for name in PhaseSettings.model_fields if name in given}
        filled = [
            _merged(common, phase) if isinstance(phase, dict) else phase
            for phase in given["phases"]
        ]
        return {**given, "phases": filled}

    @model_validator(mode="after")
    def _whole_batches(self) -> TrainingSettings:
        if 0 < self.calibration_images < self.batch_size:
            raise ValueError(
                f"calibration_images {self.calibration_images} are less than one batch of "
                f"{self.batch_size}"
            )
        return self

    def in_phases(self) -> list[TrainingSettings]:
        """The settings of each phase, complete; of a training without phases, its own."""
        if not self.phases:
            return [self]
        return [
            self.model_copy(update={**dict(phase), "phases": ()}, deep=False)
            for phase in self.phases
        ]

    @property
    def total_epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.in_phases())

    @property
    def initialisation(self) -> WeightRule:
        """The rule that 'auto' means for the first phase."""
        if self.initialise != "auto":
            return self.initialise
        first = self.in_phases()[0]
        if first.optimiser.bop is not None:
            return "glorot-sign"
        return "kaiming" if first.binarization.weights == "real" else "uniform"


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """`common` with `own` put over it, field by field."""
    both = {name: value for name, value in own.items() if isinstance(value, dict)}
    inner = {
        name: _merged(common[name], value)
        for name, value in both.items()
        if isinstance(common.get(name), dict)
    }
    return {**common, **own, **inner}

"""The section `pretrain` of a config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from supernet.binarization import Binarization
from supernet.layers.initialisation import WeightRule
from training.bounds import (
    MAX_COUNT,
    MAX_EPOCHS,
    MAX_FLOAT,
    MAX_IMAGES,
    MAX_SECONDS,
    MAX_THREADS,
    Seed,
)
from training.device import DeviceName
from training.loop.settings import TrainingSettings
from training.optim import OptimiserConfig
from training.pretraining.unmix import ImageMixtureConfig, SwavMixtures
from training.pretraining.views import ViewConfig
from training.run_files.same_run import CHANGES_NOTHING, CHANGES_ROUNDING
from training.section import Section, UsedWith, refuse_ignored
from training.stage import Stage

USED_WITH: UsedWith = {
    "temperature": ("method", ("moco", "simclr", "swav")),
    "momentum": ("method", ("moco", "byol")),
    "queue": ("method", ("moco", "swav")),
    "queue_from": ("method", ("swav",)),
    "prototypes": ("method", ("swav",)),
    "epsilon": ("method", ("swav",)),
    "frozen_epochs": ("method", ("swav",)),
    "swav_mixtures": ("method", ("swav",)),
    "symmetric": ("method", ("moco",)),
    "whole_share": ("unmix", ("v5",)),
    "beta": ("unmix", ("v5",)),
    "image_mixture": ("unmix", ("v1",)),
}


class PretrainConfig(Section):
    """How features are learned without labels. Defaults: MoCo, at rates of Un-Mix's for CIFAR.

    Batch, learning rate and its weight decay, momentum, queue, temperature, projection and kNN are
    those of `unmix_c10.py` (szq0214/Un-Mix). The script also has `unmix: v5`, `epochs: 1000`,
    `symmetric: true`, a linear head (`hidden: 0`) and crops from `views: {min_scale: 0.08}`, which
    can be set; its cosine by epoch, BatchNorm split in eight with shuffled keys, hue, saturation
    and grey it has not here.

    `unmix`: v5 takes mixtures apart in the loss (arXiv 2003.05438), `whole_share` of the steps mix
    whole images, the others a region, by shares of Beta(beta, beta); v1 mixes images without the
    loss knowing. `momentum` is the target encoder's; BYOL's rises from it to 1. `queue`: keys kept
    as negatives by moco (a multiple of a step's), rows kept by swav for its codes from epoch
    `queue_from` on (0, its default: none). `symmetric`: either view is query and key once.
    `projection`, `hidden`: the size of the rows that the loss compares, and of the layer before
    (None: as many as features; 0: no such layer, one linear layer alone). `swav_mixtures`: what
    swav reverses for unmix v5, see `SwavMixtures`. `epsilon` softens swav's codes over so many
    `prototypes`, which stay as they are for the first `frozen_epochs`.
    `calibration_images`: so many training images give the BatchNorm statistics at the end; 0 leaves
    the running averages. `neighbours`, `neighbour_temperature`: of the weighted kNN that scores the
    features.
    """

    method: Literal["moco", "simclr", "byol", "swav"] = "moco"
    unmix: Literal["none", "v5", "v1"] = "none"
    epochs: int = Field(200, ge=1, le=MAX_EPOCHS)
    batch_size: int = Field(512, ge=2, le=MAX_IMAGES)
    learning_rate: float = Field(0.06, gt=0, le=MAX_FLOAT)
    weight_decay: float = Field(5e-4, ge=0, le=MAX_FLOAT)
    optimiser: OptimiserConfig = OptimiserConfig(name="sgd", schedule="cosine")
    temperature: float = Field(0.1, gt=0, le=MAX_FLOAT)
    queue: int = Field(4096, ge=0, le=2**18)
    queue_from: int = Field(15, ge=0, le=MAX_EPOCHS)
    prototypes: int = Field(100, ge=2, le=2**16)
    # exp(+-1 / 0.03) = 3e+-14; the smallest over the sum of 1e4 x 100 largest, 1e-35, is a float32.
    epsilon: float = Field(0.05, ge=0.03, le=MAX_FLOAT)
    frozen_epochs: int = Field(1, ge=0, le=MAX_EPOCHS)
    momentum: float = Field(0.99, ge=0, lt=1)
    symmetric: bool = False
    projection: int = Field(128, ge=1, le=2**12)
    hidden: int | None = Field(None, ge=0, le=2**14)
    swav_mixtures: SwavMixtures = "formula"
    whole_share: float = Field(0.5, ge=0, le=1)
    beta: float = Field(1.0, gt=0, le=MAX_FLOAT)
    image_mixture: ImageMixtureConfig = ImageMixtureConfig()
    views: ViewConfig = ViewConfig()
    binarization: Binarization = Binarization()
    initialise: WeightRule | Literal["auto"] = "auto"
    norm_momentum: float | None = Field(None, gt=0, le=1)
    calibration_images: int = Field(0, ge=0, le=MAX_IMAGES)
    neighbours: int = Field(200, ge=1, le=MAX_COUNT)
    neighbour_temperature: float = Field(0.1, gt=0, le=MAX_FLOAT)
    device: Annotated[DeviceName, CHANGES_ROUNDING] = "auto"
    threads: Annotated[int | None, CHANGES_ROUNDING] = Field(None, ge=1, le=MAX_THREADS)
    checkpoint_seconds: Annotated[float, CHANGES_NOTHING] = Field(60.0, ge=0, le=MAX_SECONDS)
    tensorboard: Annotated[bool, CHANGES_NOTHING] = True

    @model_validator(mode="before")
    @classmethod
    def _swav_begins_without_a_queue(cls, given: Any) -> Any:
        """Fill in the default of `queue` that is not moco's."""
        is_swav = isinstance(given, Mapping) and given.get("method") == "swav"
        return {"queue": 0, **given} if is_swav else given

    @model_validator(mode="after")
    def _no_ignored_field(self) -> Self:
        refuse_ignored(self, USED_WITH)
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if 0 < self.calibration_images < self.batch_size:
            raise ValueError(
                f"calibration_images {self.calibration_images} are less than one batch of "
                f"{self.batch_size}"
            )
        if self.swav_mixtures != "formula" and self.unmix != "v5":
            raise ValueError(f"swav_mixtures is for unmix v5, not for {self.unmix}")
        keys = self.batch_size * (2 if self.symmetric else 1)
        if self.method == "moco" and (self.queue < keys or self.queue % keys):
            raise ValueError(
                f"queue {self.queue} must be a multiple of the {keys} keys that a step puts into it"
            )
        if self.method == "swav" and self.queue and self.queue_from >= self.epochs:
            raise ValueError(
                f"queue_from {self.queue_from}: no row is ever kept in {self.epochs} epochs; lower "
                f"it, or set queue to 0"
            )
        if self.method == "swav" and self.frozen_epochs >= self.epochs:
            raise ValueError(
                f"frozen_epochs {self.frozen_epochs}: of {self.epochs} epochs the prototypes learn "
                f"in none"
            )
        if self.optimiser.bop is not None and self.binarization.weights == "real":
            raise ValueError("optimiser.bop flips binary weights; binarization.weights is real")
        return self

    def beginning(self) -> TrainingSettings:
        """How the weights begin, as the other stages say it."""
        return TrainingSettings(
            optimiser=self.optimiser,
            binarization=self.binarization,
            initialise=self.initialise,
            norm_momentum=self.norm_momentum,
        )


class PretrainStage(Stage):
    """Everything `pretrain` needs. The labels of `data` score the features; they teach nothing."""

    pretrain: PretrainConfig = PretrainConfig()
    seed: Seed = 0

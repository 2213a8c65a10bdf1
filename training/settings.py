"""The training settings that supernets and stand-alone networks share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.augment import AugmentConfig
from training.device import DeviceName, PrecisionName


class TrainingSettings(BaseModel):
    """Adam, learning rate falling linearly to zero by step, label smoothing.

    Defaults are the Bi-Real Net recipe's (Adam 1e-3 at batch 512, linear decay, no weight decay,
    smoothing 0.1), with batch and rate scaled for small images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(128, ge=2)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    augment: AugmentConfig = AugmentConfig()
    precision: PrecisionName = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    device: DeviceName = "auto"
    threads: int | None = Field(None, ge=1)
    checkpoint_seconds: float = Field(60.0, ge=0)
    tensorboard: bool = True

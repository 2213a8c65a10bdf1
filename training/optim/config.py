"""The optimiser's settings: which it is, its schedule, what decays, and Bop for binary weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.bounds import MAX_EPOCHS, MAX_FLOAT
from training.section import Section, UsedWith, refuse_ignored


class BopConfig(Section):
    """Bop (arXiv 1906.02107) for the weights of binary convolutions; defaults are larq's.

    `gamma`, the adaptivity rate, stays, or goes linearly by step to `gamma_end` over the whole
    phase, or is multiplied by `gamma_decay` every `gamma_decay_epochs` epochs. `tau`, the
    threshold, stays, or goes linearly by step to `tau_end`.
    """

    gamma: float = Field(1e-4, gt=0, le=1)
    tau: float = Field(1e-8, ge=0, le=MAX_FLOAT)
    gamma_end: float | None = Field(None, ge=0, le=1)
    gamma_decay_epochs: float | None = Field(None, gt=0, le=MAX_EPOCHS)
    gamma_decay: float = Field(0.1, gt=0, le=1)
    tau_end: float | None = Field(None, ge=0, le=MAX_FLOAT)

    @model_validator(mode="after")
    def _one_schedule_of_gamma(self) -> Self:
        if self.gamma_end is not None and self.gamma_decay_epochs is not None:
            raise ValueError("give gamma_end or gamma_decay_epochs, not both")
        default = type(self).model_fields["gamma_decay"].default
        if self.gamma_decay_epochs is None and self.gamma_decay != default:
            raise ValueError("gamma_decay has no effect without gamma_decay_epochs")
        return self


Schedule = Literal["linear", "linear-epochs", "cosine", "milestones", "constant"]

Decayed = Literal["all", "weights", "official"]
"""all: every parameter.
weights: those of two or more dimensions; no bias, norm, slope or shift.
official: those that the code of ReActNet (arXiv 2003.03488) decays, all 4-D tensors. In it the
shifts of RSign and RPReLU are (1, C, 1, 1) and so decayed; the linear layer is not. In its step 2
binary weights are one column and would not be: its decay is 0 there."""

ADAMS = ("adam", "adamw")
FALLING = ("linear", "linear-epochs", "cosine")

USED_WITH: UsedWith = {
    "betas": ("name", ADAMS),
    "eps": ("name", ADAMS),
    "momentum": ("name", ("sgd",)),
    "nesterov": ("name", ("sgd",)),
    "end": ("schedule", FALLING),
    "milestones": ("schedule", ("milestones",)),
    "decay": ("schedule", ("milestones",)),
}


class OptimiserConfig(Section):
    """Optimiser, schedule of the learning rate, and what decays. Default: Adam, linear to zero.

    `schedule`: linear and cosine fall by step to `end`, a share of the learning rate;
    linear-epochs falls by epoch and is one epoch early, as in the code of Bi-Real Net and
    ReActNet, so that the last epoch runs at `end`; milestones multiplies by `decay` at each of
    `milestones`, in epochs. For `warmup_epochs` the schedule is multiplied by a ramp from 0 to 1.
    `decayed` names what weight decay reaches, see `Decayed`.
    `bop`: move the weights of binary convolutions by Bop; the rest is the named optimiser's.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0, le=MAX_FLOAT)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    schedule: Schedule = "linear"
    end: float = Field(0.0, ge=0, le=1)
    milestones: tuple[Annotated[float, Field(le=MAX_EPOCHS)], ...] = ()
    decay: float = Field(0.1, gt=0, le=1)
    warmup_epochs: float = Field(0.0, ge=0, le=MAX_EPOCHS)
    decayed: Decayed = "all"
    bop: BopConfig | None = None

    @model_validator(mode="after")
    def _no_ignored_field(self) -> Self:
        refuse_ignored(self, USED_WITH)
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas are {self.betas}, expected two numbers in [0, 1)")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        if self.schedule == "milestones":
            if not self.milestones:
                raise ValueError("schedule milestones needs milestones, a list of epochs")
            if any(later <= earlier for earlier, later in pairwise((0.0, *self.milestones))):
                raise ValueError(
                    f"milestones are {self.milestones}, expected rising epochs above 0"
                )
        return self

"""How paths are drawn while a supernet is trained: the `sampling` part of its settings."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from training.bounds import MAX_EPOCHS, MAX_REPEATS
from training.section import Section, UsedWith, refuse_ignored

NUM_RANDOM = 2
"""Uniform paths beside the largest and the smallest of a sandwich (AttentiveNAS, NAS-BNN)."""

BY_COST = ("cost-range", "cost-bins")

# None is the default of a rule's own options, which old run folders do not hold.
USED_WITH: UsedWith = {
    "cost": ("rule", BY_COST),
    "minimum": ("rule", BY_COST),
    "maximum": ("rule", BY_COST),
    "num_bins": ("rule", ("cost-bins",)),
    "num_random": ("rule", ("sandwich",)),
    "distil": ("rule", ("sandwich",)),
    "teacher_is_real": ("rule", ("sandwich",)),
}

Choices = Annotated[tuple[StrictInt | StrictFloat | StrictStr, ...], Field(min_length=1)]


class ScheduleEntry(Section):
    """From `epoch` on, positions whose name matches a pattern draw among these choices only.

    `choices`: pattern (as of file names: `*.width`) -> choices. Where several patterns match a
    position, the last one counts.
    """

    epoch: int = Field(ge=0, le=MAX_EPOCHS)
    choices: dict[str, Choices] = Field(min_length=1)


class Widening(Section):
    """Of positions that match `pattern` only the largest choice is drawn before `from_epoch`.

    Then the next smaller one too, and one more every `every_epochs`, until all are.
    """

    pattern: str = "*.width"
    from_epoch: int = Field(ge=0, le=MAX_EPOCHS)
    every_epochs: int = Field(1, ge=1, le=MAX_EPOCHS)


class PathSamplingConfig(Section):
    """The rule by which a step draws its paths, and which choices may be drawn in which epoch.

    `rule`:
    uniform: one path, every choice alike.
    strict-fairness: as many paths as a position has choices, which take every choice in turn.
    cost-range: one path, uniform inside minimum..maximum of `cost`.
    cost-bins: one path, from one of `num_bins` equal parts of [minimum, maximum) of `cost`, each
    part alike.
    sandwich: the largest, the smallest and `num_random` (2) uniform paths. With `distil` (true)
    the largest learns the labels, the others learn its outputs. `teacher_is_real` (false): the
    largest runs with real weights and activations, the others as the phase says.

    `schedule`, `widen`: one or the other; epochs count from 0 through all phases.
    """

    rule: Literal["uniform", "strict-fairness", "cost-range", "cost-bins", "sandwich"] = "uniform"
    cost: str = "ops"
    minimum: float = 0.0
    maximum: float = float("inf")
    num_bins: int | None = Field(None, ge=1, le=10000)
    num_random: int | None = Field(None, ge=0, le=MAX_REPEATS)
    distil: bool | None = None
    teacher_is_real: bool | None = None
    schedule: tuple[ScheduleEntry, ...] | None = None
    widen: Widening | None = None

    @model_validator(mode="after")
    def _no_ignored_field(self) -> Self:
        refuse_ignored(self, USED_WITH)
        if self.teacher_is_real and not self.is_distilled:
            raise ValueError("teacher_is_real has no effect without distil")
        return self

    @model_validator(mode="after")
    def _whole_bins(self) -> Self:
        if self.rule != "cost-bins":
            return self
        if self.num_bins is None:
            raise ValueError("rule cost-bins needs num_bins")
        if not (isfinite(self.maximum) and self.minimum < self.maximum):
            raise ValueError(
                f"rule cost-bins needs a finite maximum above minimum; they are "
                f"{self.maximum:g} and {self.minimum:g}"
            )
        return self

    @model_validator(mode="after")
    def _rising_schedule(self) -> Self:
        if self.schedule and self.widen:
            raise ValueError("give schedule or widen, not both")
        epochs = [entry.epoch for entry in self.schedule or ()]
        if any(later <= earlier for earlier, later in pairwise(epochs)):
            raise ValueError(f"schedule has epochs {epochs}, expected rising ones")
        return self

    @property
    def is_distilled(self) -> bool:
        """Whether the first path of a step teaches the others."""
        return self.rule == "sandwich" and self.distil is not False

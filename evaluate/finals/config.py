"""What the finals are asked for: the `finals` section of a config."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from evaluate.retrain.config import RepeatedTraining, RetrainConfig, filled_from_retrain
from training.bounds import MAX_COUNT, MAX_EPOCHS, MAX_REPEATS, Seed
from training.loop.settings import TrainingSettings
from training.run_files.same_run import CHANGES_NOTHING, NOT_RECORDED
from training.stage import Stage

STAGE = "finals"
OF_RUNGS = ("epochs", "phases", "start_from")
"""What of a training the finals decide themselves."""


class FinalsConfig(RepeatedTraining):
    """Who is trained on from the supernet's weights, how long, and who goes on.

    `best`: so many of the best that the search found. `designs`: so many hand-made designs within
    the search's limits, those that its scores make one hope most of. `include`: architecture files
    of further networks. `rungs`: epochs of the trainings of each rung; every rung begins anew with
    the supernet's weights, its rate falling to 0 within it. `keep`: the share that goes on to the
    next, the best searched and the best hand-made network always among them. `seeds` a network and
    rung. Other settings of the trainings that are left out are those of `retrain`.
    """

    best: int = Field(6, ge=1, le=MAX_COUNT)
    designs: int = Field(6, ge=0, le=MAX_COUNT)
    include: tuple[Path, ...] | None = Field(default=None, min_length=1)
    rungs: tuple[Annotated[int, Field(ge=1, le=MAX_EPOCHS)], ...] = Field((1, 4), min_length=1)
    keep: float = Field(0.34, gt=0, lt=1)
    seeds: int = Field(1, ge=1, le=MAX_REPEATS)

    @model_validator(mode="after")
    def _rungs_say(self) -> Self:
        # What a run folder recorded has them all, at their defaults.
        defaults = {name: type(self).model_fields[name].default for name in OF_RUNGS}
        if given := [name for name in OF_RUNGS if getattr(self, name) != defaults[name]]:
            raise ValueError(
                f"{given[0]} is not for finals: rungs say how many epochs each training takes, and "
                f"all begin with the supernet's weights"
            )
        if any(later <= earlier for earlier, later in pairwise(self.rungs)):
            raise ValueError(f"rungs are {list(self.rungs)}, expected rising numbers of epochs")
        return self


class FinalsStage(Stage):
    """Everything `finals` needs; the space, limits and images are those of the search."""

    # `finals` has taken its part of it.
    retrain: Annotated[RetrainConfig, CHANGES_NOTHING, NOT_RECORDED] = RetrainConfig()
    finals: FinalsConfig = FinalsConfig()
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _train_as_retrain(cls, given: Any) -> Any:
        """Give the trainings what `retrain` says and `finals` leaves out."""
        shared = [name for name in TrainingSettings.model_fields if name not in OF_RUNGS]
        return filled_from_retrain(given, STAGE, [*shared, "workers"])

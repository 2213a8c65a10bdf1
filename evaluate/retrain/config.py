"""What retraining is asked for: the `retrain` section of a config."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from training.bounds import MAX_COUNT, MAX_EPOCHS, MAX_REPEATS, MAX_WORKERS, Seed
from training.loop.settings import TrainingSettings
from training.run_files.same_run import CHANGES_NOTHING, NOT_RECORDED
from training.stage import Stage

STAGE = "retrain"


class RepeatedTraining(TrainingSettings):
    """Training settings, seeds a network, and how many networks train at a time.

    `workers`: networks trained side by side as Ray tasks, 0 trains one after another in this
    process. `threads`: CPU threads of each network; None is 1, whatever the number of workers,
    because results depend on it in their last digits.
    """

    seeds: int = Field(3, ge=1, le=MAX_REPEATS)
    workers: Annotated[int, CHANGES_NOTHING, NOT_RECORDED] = Field(0, ge=0, le=MAX_WORKERS)


class RetrainConfig(RepeatedTraining):
    """How finalists and baselines are trained, and which baselines there are.

    `uniform`: the so many uniform architectures of most OPs within the limits. `random`: so many
    random ones. `limits`: `max_*` and `min_*` of the baselines; None gives each finalist baselines
    under the limits it was found under. `latency_table`: predicts the latency that limits are on;
    the one of the search.
    `supernet`: the run folder of one, with whose weights every network begins that is trained, each
    with those of its own path; None trains all as `start_from` says. `from_scratch`: which networks
    are trained from scratch besides, for a row of their own, `scratch_epochs` long; None: as many
    epochs as the others.
    """

    uniform: int = Field(2, ge=0, le=MAX_COUNT)
    random: int = Field(3, ge=0, le=MAX_COUNT)
    limits: dict[str, float] | None = None
    latency_table: Path | None = None
    supernet: Path | None = None
    from_scratch: Literal["finalists", "all", "none"] = "finalists"
    scratch_epochs: int | None = Field(None, ge=1, le=MAX_EPOCHS)

    @model_validator(mode="after")
    def _one_start(self) -> RetrainConfig:
        if self.supernet is not None and self.start_from is not None:
            raise ValueError("supernet and start_from both say what networks begin with")
        if self.scratch_epochs is not None and self.phases:
            raise ValueError("scratch_epochs: every one of the phases has epochs of its own")
        return self


def filled_from_retrain(given: Any, section: str, names: Iterable[str]) -> Any:
    """A config as it was given, with what `section` leaves out of `names` as `retrain` has it."""
    if not isinstance(given, dict) or not isinstance(given.get("retrain"), dict):
        return given
    retrain, own = given["retrain"], given.get(section, {})
    if not isinstance(own, dict):
        return given
    return {**given, section: {**{n: retrain[n] for n in names if n in retrain}, **own}}


class RetrainStage(Stage):
    """Everything `retrain` needs."""

    retrain: RetrainConfig = RetrainConfig()
    seed: Seed = 0

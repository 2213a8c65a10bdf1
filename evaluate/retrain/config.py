"""What retraining is asked for: the `retrain` section of a config."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from training.bounds import MAX_COUNT, MAX_REPEATS, MAX_WORKERS, Seed
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
    """

    uniform: int = Field(2, ge=0, le=MAX_COUNT)
    random: int = Field(3, ge=0, le=MAX_COUNT)
    limits: dict[str, float] | None = None
    latency_table: Path | None = None


class RetrainStage(Stage):
    """Everything `retrain` needs."""

    retrain: RetrainConfig = RetrainConfig()
    seed: Seed = 0

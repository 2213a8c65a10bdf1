"""A run in Weights & Biases: as WANDB_MODE, WANDB_PROJECT (else "evobit") and its login say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evobit.watch.mapping import Point


class WandbRun:
    """Each group of numbers has its own step, as each has in the log."""

    def __init__(self, run: Path, parameters: Mapping[str, str]) -> None:
        import wandb

        # The watching machine's load and screen say nothing of the run.
        quiet = wandb.Settings(console="off", x_disable_stats=True)
        project = os.environ.get("WANDB_PROJECT", "evobit")
        self._run: Any = wandb.init(
            project=project, name=run.resolve().name, config=dict(parameters), settings=quiet
        )
        self._groups: set[str] = set()

    def metrics(self, points: Sequence[Point]) -> None:
        for point in points:
            groups = {name.rpartition("/")[0] for name in point.values}
            for group in groups - self._groups:
                self._run.define_metric(f"{group}/*", step_metric=f"{group}/step")
            self._groups |= groups
            steps = {f"{group}/step": point.step for group in groups}
            stamp = {} if point.time is None else {"_timestamp": point.time}
            self._run.log({**point.values, **steps, **stamp})

    def artifact(self, path: Path) -> None:
        import wandb

        artifact = wandb.Artifact(f"{path.stem}-{self._run.id}", type="result")
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def end(self, state: str, summary: Mapping[str, float]) -> None:
        self._run.summary.update({**summary, "state": state})
        self._run.finish(exit_code=0 if state == "finished" else 1)


def begin(run: Path, parameters: Mapping[str, str], began: float | None) -> WandbRun:
    """A new run; it begins now, its numbers have the times of the log."""
    return WandbRun(run, parameters)

"""A run in MLflow: at MLFLOW_TRACKING_URI, in the experiment MLFLOW_EXPERIMENT_NAME or "evobit"."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from evobit.watch.mapping import Point
from supernet.files import UserError

T = TypeVar("T")

STATUS = {
    "finished": "FINISHED",
    "stopped": "KILLED",
    "running": "KILLED",
    "unreadable": "FAILED",
}
MAX_VALUE = 500
"""Characters of a parameter that every store takes."""
MAX_PARAMETERS, MAX_METRICS = 100, 1000
"""What one request may hold."""


class MlflowRun:
    """Through the client alone: no global run, and the times are those of the log."""

    def __init__(self, run: Path, parameters: Mapping[str, str], began: float | None) -> None:
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", "evobit")
        found = self._client.get_experiment_by_name(wanted)
        experiment = found.experiment_id if found else self._client.create_experiment(wanted)
        start = None if began is None else round(1000 * began)
        name = run.resolve().name
        made = self._client.create_run(experiment, start_time=start, run_name=name)
        self._id: str = made.info.run_id
        given = [Param(_name(key), value[:MAX_VALUE]) for key, value in parameters.items()]
        for part in _parts(given, MAX_PARAMETERS):
            self._client.log_batch(self._id, params=part)

    def metrics(self, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        sent = [
            Metric(_name(name), value, round(1000 * (point.time or time.time())), point.step)
            for point in points
            for name, value in point.values.items()
        ]
        for part in _parts(sent, MAX_METRICS):
            self._client.log_batch(self._id, metrics=part)

    def artifact(self, path: Path) -> None:
        self._client.log_artifact(self._id, str(path))

    def end(self, state: str, summary: Mapping[str, float]) -> None:
        if summary:
            self.metrics([Point(0, {f"summary/{name}": n for name, n in summary.items()})])
        self._client.set_tag(self._id, "evobit.state", state)
        self._client.set_terminated(self._id, STATUS[state])


def begin(run: Path, parameters: Mapping[str, str], began: float | None) -> MlflowRun:
    """A new run.

    Raises:
        UserError: MLflow cannot work with the place that MLFLOW_TRACKING_URI names, or by default.
    """
    from mlflow.exceptions import MlflowException

    try:
        return MlflowRun(run, parameters, began)
    except MlflowException as error:
        raise UserError(
            f"--to mlflow: {error}; expected in MLFLOW_TRACKING_URI a server that answers, as in "
            "http://localhost:5000"
        ) from error


def _parts(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """`size` at a time."""
    return (values[first : first + size] for first in range(0, len(values), size))


def _name(name: str) -> str:
    """With the characters that MLflow takes in a name."""
    return re.sub(r"[^\w\-. /]", "_", name)

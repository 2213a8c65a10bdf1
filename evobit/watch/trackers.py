"""Experiment trackers that `evobit watch RUN --to` mirrors a run to; one adapter each."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evobit.watch.mapping import Point
from supernet.files import UserError


class Tracker(Protocol):
    """One run in a tracker."""

    def metrics(self, points: Sequence[Point]) -> None:
        """Send numbers."""

    def artifact(self, path: Path) -> None:
        """Send a file."""

    def end(self, state: str, summary: Mapping[str, float]) -> None:
        """Close the run: "finished", "stopped", or "running" where only the watching ended."""


@dataclass(frozen=True)
class Adapter:
    """Where an adapter is, and what it needs."""

    module: str
    """Has `begin(run, parameters, began)`, which gives a `Tracker`.

    `run` is the run folder, `parameters` are texts by name, `began` is Unix seconds or None.
    """
    package: str


TRACKERS = {
    "mlflow": Adapter("evobit.watch.mlflow_run", "mlflow"),
    "tensorboard": Adapter("evobit.watch.tensorboard_run", "tensorboard"),
    "wandb": Adapter("evobit.watch.wandb_run", "wandb"),
}


def tracker(name: str) -> Any:
    """The module of the adapter of this name.

    Raises:
        UserError: its package is not installed.
    """
    package = TRACKERS[name].package
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their own imports warn
            importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"--to {name} needs the package {package} ({error}): pip install 'evobit[{name}]'"
        ) from error
    return importlib.import_module(TRACKERS[name].module)

"""A run in TensorBoard: event files in RUN/tensorboard/watch, in place of earlier ones."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evobit.watch.mapping import Point


class TensorboardRun:
    """Beside the files that training itself writes below RUN/tensorboard."""

    def __init__(self, run: Path, parameters: Mapping[str, str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tensorboard's own imports warn
            from torch.utils.tensorboard import SummaryWriter

            folder = run / "tensorboard" / "watch"
            shutil.rmtree(folder, ignore_errors=True)
            self._writer: Any = SummaryWriter(str(folder))
        rows = "".join(f"    {name}: {value}\n" for name, value in parameters.items())
        self._writer.add_text("config", rows)

    def metrics(self, points: Sequence[Point]) -> None:
        for point in points:
            for name, value in point.values.items():
                self._writer.add_scalar(name, value, point.step, point.time)
        self._writer.flush()

    def artifact(self, path: Path) -> None:
        """None: the files lie in the run folder."""

    def end(self, state: str, summary: Mapping[str, float]) -> None:
        self._writer.close()


def begin(run: Path, parameters: Mapping[str, str], began: float | None) -> TensorboardRun:
    """New event files."""
    return TensorboardRun(run, parameters)

"""Training numbers to log.jsonl and, where tensorboard is installed, to its event files.

And log.jsonl read back.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from training.run_files.folder import RunFolder


class TrainingLog(AbstractContextManager["TrainingLog"]):
    """Context manager; calling it with a step and numbers writes them."""

    def __init__(self, folder: RunFolder, name: str, tensorboard: bool) -> None:
        self._folder, self._name = folder, name
        self._writer: Any = None
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            folder.log("note", text="tensorboard is not installed: no event files are written")
        elif tensorboard:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tensorboard's own imports warn
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(folder.path / "tensorboard" / name))

    def __call__(self, *, step: int, **numbers: float) -> None:
        self._folder.log("train", name=self._name, step=step, **numbers)
        if self._writer is not None:
            for name, value in numbers.items():
                self._writer.add_scalar(f"{self._name}/{name}", value, step)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def read_events(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a log.jsonl; those of a torn or damaged kind are left out."""
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events

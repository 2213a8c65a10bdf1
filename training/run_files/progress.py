"""Progress of long work: a bar with rate and time left on a terminal, plain lines elsewhere.

And, in a run folder, a small file for who watches the run from another terminal.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, cast

from supernet.files.plain_data import is_number
from supernet.files.telling import is_first_process, tell

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_FILES = 2.0
PROGRESS_FILE = ".progress.json"


class _Lasting:
    """A terminal that may be closed: what can no longer be written to it is dropped."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class Progress:
    """Context manager around a loop of `total` items, of which `start` are already done.

    Writes to stderr alone, so that a command's stdout stays its result; and to `.progress.json`
    in `folder`, where there is one, from the beginning and every two seconds, until the work is
    done: the file of a work that was stopped stays.
    """

    def __init__(self, label: str, total: int, start: int = 0, folder: Path | None = None) -> None:
        self.label, self.total, self.done, self._start = label, total, start, start
        self._kept: int | None = None
        self._began = self._last_line = time.monotonic()
        self._file = None if folder is None else folder / PROGRESS_FILE
        self._last_file = 0.0
        self._numbers: dict[str, float] = {}
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if is_first_process() and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[numbers]}"),
                console=Console(file=cast("IO[str]", _Lasting(sys.stderr))),
            )
            self._bar.start()
            self._task = self._bar.add_task(
                self.label, total=self.total, completed=self.done, numbers=""
            )
        elif 0 < self._start < self.total and is_first_process():
            tell(f"{self.label}: goes on at {self._start}/{self.total}")
        if self.done < self.total:
            self._write()  # the first step can take minutes: it may have to be compiled
        return self

    @property
    def is_on_terminal(self) -> bool:
        """Whether a bar is shown, inside the context."""
        return self._bar is not None

    def advance(self, count: int = 1, **numbers: float) -> None:
        """Mark `count` more items as done; `numbers` are shown beside the bar."""
        self.done += count
        self._numbers = numbers
        now = time.monotonic()
        if now - self._last_file >= SECONDS_BETWEEN_FILES:
            self._last_file = now
            self._write()
        shown = " ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        if self._bar is not None:
            self._bar.update(
                self._task, completed=self.done, numbers=f"{self._rate():.3g}/s {shown}"
            )
            return
        if not is_first_process():
            return
        if now - self._last_line >= SECONDS_BETWEEN_LINES or self.done == self.total:
            self._last_line = now
            tell(
                f"{self.label}: {self.done}/{self.total}, {self._rate():.3g}/s, "
                f"{self._seconds_left():.0f} s left {shown}".rstrip()
            )

    def keep(self) -> None:
        """Mark what is done as kept: there a resume begins, where not all is kept as it is done."""
        self._kept = self.done
        self._write()

    def say(self, text: str) -> None:
        """A line about the work between two advances, above the bar where there is one."""
        line = f"{self.label}: {self.done}/{self.total} done; {text}"
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif is_first_process():
            tell(line)

    def _rate(self) -> float:
        """Items a second; 0 while there is nothing to tell it from."""
        return (self.done - self._start) / max(time.monotonic() - self._began, 1e-9)

    def _seconds_left(self) -> float:
        return (self.total - self.done) / self._rate() if self.done > self._start else 0.0

    def _write(self) -> None:
        if self._file is None or not is_first_process():
            return
        document = {
            "label": self.label,
            "done": self.done,
            "kept": self.done if self._kept is None else self._kept,
            "total": self.total,
            "per_second": float(f"{self._rate():.4g}"),  # a network in hours is not 0
            "seconds_left": round(self._seconds_left(), 1),
            "numbers": {name: round(float(value), 6) for name, value in self._numbers.items()},
            "updated": round(time.time(), 1),
            "pid": os.getpid(),
        }
        # Whole or not at all, but not worth waiting for the disk, nor ending for a full one.
        draft = self._file.with_suffix(".draft")
        try:
            draft.unlink(missing_ok=True)
            with open(draft, "x") as file:  # anew: what stood there may have been a link
                file.write(json.dumps(document))
            os.replace(draft, self._file)
        except OSError:
            draft.unlink(missing_ok=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._file is None or not is_first_process():
            return
        if self.done >= self.total:
            self._file.unlink(missing_ok=True)
        else:
            self._write()


def read_progress(folder: Path) -> dict[str, Any] | None:
    """What stands in the progress file of `folder`; None where there is none, or a damaged one.

    `per_second` is 0 in one that has not yet got beyond where it began.
    """
    try:
        document = json.loads((folder / PROGRESS_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and _is_progress(document) else None


def _is_progress(document: dict[str, Any]) -> bool:
    """Whether all is there that is shown, and of the kind that was written."""
    numbers = document.get("numbers")
    return (
        isinstance(document.get("label"), str)
        and isinstance(numbers, dict)
        and all(map(is_number, numbers.values()))
        and is_number(document.get("kept", 0))
        and all(
            is_number(document.get(name))
            for name in ("done", "total", "per_second", "seconds_left", "updated")
        )
    )

"""What stands in a run folder at this moment, read without disturbing the run."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from supernet.files import UserError
from training.progress import PROGRESS_FILE
from training.run_folder import RunFolder

QUIET_AFTER_S = 60.0
"""A run whose lock cannot be looked up counts as stopped when it was silent for so long."""


@dataclass(frozen=True)
class Watched:
    """A run at one moment.

    `state`: "finished", "running" or "stopped" (the same command resumes it). `progress`: what is
    being done, each with `label`, `done`, `total`, `per_second` and `seconds_left`. `best`: the
    best top-1 so far in percent, and whose it is. `workers`: Ray actors of a search; 0: none.
    `summary`: of a finished run.
    """

    path: str
    stage: str
    state: str
    progress: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    workers: int | None = None
    last: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None

    @property
    def seconds_left(self) -> float | None:
        """Of what is being done, as its rate so far says."""
        left = [one["seconds_left"] for one in self.progress if one["done"] < one["total"]]
        return max(left, default=None)

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {**asdict(self), "seconds_left": self.seconds_left}


class Watch:
    """Looks at the runs at `path`: a run folder, or one that holds several."""

    def __init__(self, path: Path) -> None:
        """Find the runs.

        Raises:
            UserError: there is none.
        """
        if not path.is_dir():
            raise UserError(f"{path}: not found, expected a run folder or one that holds some")
        self._path = path
        self._tails: dict[Path, _Tail] = {}
        if not self._runs():
            raise UserError(f"{path}: not a run folder (it has no manifest.json), nor holds one")

    def look(self) -> list[Watched]:
        """All runs as they stand, in the order in which they were made."""
        return [self._look(path) for path in self._runs()]

    def _runs(self) -> list[Path]:
        if (self._path / "manifest.json").exists():
            return [self._path]
        found = [manifest.parent for manifest in self._path.glob("*/manifest.json")]
        return sorted(
            found, key=lambda run: (str(RunFolder(run, "").manifest.get("created")), run.name)
        )

    def _look(self, path: Path) -> Watched:
        manifest = RunFolder(path, "").manifest
        stage, summary = str(manifest.get("stage")), manifest.get("summary")
        log = self._tail(path / "log.jsonl")
        log.read()
        scored = self._tail(path / "history.jsonl") if stage == "search" else log
        scored.read()
        progress = _progress(path) if summary is None else []
        is_running = summary is None and _is_working(path, progress)
        return Watched(
            path=str(path),
            stage=stage,
            state="finished" if summary is not None else "running" if is_running else "stopped",
            progress=progress,
            best=scored.best,
            workers=log.newest("workers"),
            last=log.last,
            summary=summary,
        )

    def _tail(self, path: Path) -> _Tail:
        return self._tails.setdefault(path, _Tail(path))


class LineReader:
    """Reads what was appended to a file of JSON lines since the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = 0

    def read(self) -> list[dict[str, Any]]:
        """The lines that are whole by now, each once; what is no JSON object is left out."""
        try:
            with open(self._path, "rb") as file:
                if file.seek(0, os.SEEK_END) < self._start:
                    self._start = 0  # a torn tail was cut off, or the file begun anew
                file.seek(self._start)
                content = file.read()
        except OSError:
            return []
        whole = content.rfind(b"\n") + 1
        self._start += whole
        documents = []
        for line in content[:whole].splitlines():
            try:
                documents.append(json.loads(line))
            except (ValueError, RecursionError):
                continue
        return [document for document in documents if isinstance(document, dict)]


class _Tail:
    """What counts of a file of JSON lines so far: its last line, the best, newest fields."""

    def __init__(self, path: Path) -> None:
        self._lines = LineReader(path)
        self._fields: dict[str, Any] = {}
        self.last: dict[str, Any] | None = None
        self.best: dict[str, Any] | None = None

    def newest(self, name: str) -> Any:
        """The value of a field in the last line that has it."""
        return self._fields.get(name)

    def read(self) -> None:
        for document in self._lines.read():
            self._take(document)

    def _take(self, document: dict[str, Any]) -> None:
        self.last = document
        if "workers" in document:
            self._fields["workers"] = document["workers"]
        top1 = document.get("top1")
        if is_number(top1) and (self.best is None or top1 > self.best["top1"]):
            named = ("index", "name", "top1", "architecture", "costs")
            self.best = {name: document[name] for name in named if name in document}
            for name in ("architecture", "costs"):
                if not isinstance(self.best.get(name, {}), dict):
                    del self.best[name]  # damaged, and no reason to show nothing


def _progress(path: Path) -> list[dict[str, Any]]:
    """What the run and the networks trained in it wrote of their progress, the run's own first."""
    found = []
    for file in (path / PROGRESS_FILE, *sorted(path.glob(f"*/*/{PROGRESS_FILE}"))):
        try:
            document = json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(document, dict) and _is_progress(document):
            found.append(document)
    return found


def _is_progress(document: dict[str, Any]) -> bool:
    """Whether all is there that is shown, and of the kind that was written."""
    numbers = document.get("numbers")
    return (
        isinstance(document.get("label"), str)
        and isinstance(numbers, dict)
        and all(map(is_number, numbers.values()))
        and all(
            is_number(document.get(name))
            for name in ("done", "total", "per_second", "seconds_left", "updated")
        )
    )


def is_number(value: Any) -> bool:
    """Whether a value out of JSON is a finite number; true is none."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_working(path: Path, progress: list[dict[str, Any]]) -> bool:
    """Whether a process holds the run; where that cannot be seen, whether it wrote of late."""
    try:
        held = Path("/proc/locks").read_text()
        inode = os.stat(path / ".lock").st_ino
    except OSError:
        return any(time.time() - one.get("updated", 0) < QUIET_AFTER_S for one in progress)
    return any(
        "FLOCK" in line and line.split()[-3].endswith(f":{inode}") for line in held.splitlines()
    )

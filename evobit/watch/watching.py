"""What stands in a run folder at this moment, read without disturbing the run."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from supernet.candidate import RankKey
from supernet.files import UserError
from supernet.files.plain_data import is_number
from supernet.history_file import rank_of_line
from training.run_files.folder import RunFolder
from training.run_files.progress import PROGRESS_FILE, read_progress

LOSS = ("loss", "loss_error")
"""Fields of a candidate's line, where it ranks by cross-entropy."""

QUIET_AFTER_S = 60.0
"""A run whose lock cannot be looked up counts as stopped when it was silent for so long."""


@dataclass(frozen=True)
class Watched:
    """A run at one moment.

    `state`: "finished", "running", "stopped" (the same command resumes it) or "unreadable", of
    which nothing is known but the `reason`. `progress`: what is being done, each with `label`,
    `done`, `total`, `per_second` (0: not yet known) and `seconds_left`. `best`: the best so far,
    its top-1 in percent, its `loss` and `loss_error` in nats where it ranks by them, and whose it
    is; of equals the one that the search takes. `workers`: Ray actors
    of a search; 0: none. `last`: the log's last line. `last_step`: the last line of training in
    it. `summary`: of a finished run.
    """

    path: str
    stage: str
    state: str
    progress: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    workers: int | None = None
    last: dict[str, Any] | None = None
    last_step: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None
    reason: str | None = None

    @property
    def seconds_left(self) -> float | None:
        """Of what is being done, as its rate so far says."""
        begun = [one for one in self.progress if one["per_second"] > 0]
        left = [one["seconds_left"] for one in begun if one["done"] < one["total"]]
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
        """All runs as they stand, in the order in which they were made, the unreadable ones last.

        Raises:
            UserError: the one run that is watched cannot be read; among several it is listed.
        """
        runs = self._runs()
        if runs == [self._path]:
            return [self._look(self._path, RunFolder(self._path, "").manifest)]
        readable, unreadable = [], []
        for path in runs:
            try:
                manifest = RunFolder(path, "").manifest
            except UserError as error:
                unreadable.append(Watched(str(path), "unknown", "unreadable", reason=str(error)))
            else:
                created = str(manifest.get("created"))
                readable.append((created, path.name, self._look(path, manifest)))
        readable.sort(key=lambda found: found[:2])
        return [one for _, _, one in readable] + unreadable

    def _runs(self) -> list[Path]:
        if (self._path / "manifest.json").exists():
            return [self._path]
        return sorted(manifest.parent for manifest in self._path.glob("*/manifest.json"))

    def _look(self, path: Path, manifest: dict[str, Any]) -> Watched:
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
            last_step=log.last_step,
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
    """What counts of a file of JSON lines so far: its last lines, the best, newest fields."""

    def __init__(self, path: Path) -> None:
        self._lines = LineReader(path)
        self._fields: dict[str, Any] = {}
        self.last: dict[str, Any] | None = None
        self.last_step: dict[str, Any] | None = None
        self.best: dict[str, Any] | None = None
        self._rank_of_best: RankKey | None = None

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
        if document.get("event") == "train" and is_number(document.get("step")):
            self.last_step = document
        if not is_number(document.get("top1")):
            return
        rank = rank_of_line(document)
        if self._rank_of_best is None or rank < self._rank_of_best:
            self._rank_of_best = rank
            scores = ("top1", *LOSS) if "index" in document else ("top1",)
            named = ("index", "name", *scores, "architecture", "costs")
            self.best = {name: document[name] for name in named if name in document}
            for name in ("architecture", "costs"):
                if not isinstance(self.best.get(name, {}), dict):
                    del self.best[name]  # damaged, and no reason to show nothing
            for name in LOSS:
                if not is_number(self.best.get(name, 0.0)):
                    del self.best[name]


def _progress(path: Path) -> list[dict[str, Any]]:
    """What the run and the networks trained in it wrote of their progress, the run's own first."""
    networks = sorted(file.parent for file in path.glob(f"*/*/{PROGRESS_FILE}"))
    return [found for one in (path, *networks) if (found := read_progress(one)) is not None]


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

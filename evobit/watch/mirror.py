"""Sends what runs write to a tracker, while they work or after they ended."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evobit.watch.mapping import numbers_of, parameters_of, point_of
from evobit.watch.trackers import Tracker, tracker
from evobit.watch.watching import LineReader, Watched
from training.run_files.folder import RunFolder

LOGS = ("log.jsonl", "history.jsonl", "networks/*/log.jsonl", "supernets/*/log.jsonl")
RESULTS = ("best.json", "front.json", "report.md", "report.json", "audit.json", "config.yaml")


class Mirror:
    """The runs of a `Watch`, each as one new run of the tracker."""

    def __init__(self, name: str) -> None:
        """Find the tracker's package.

        Raises:
            UserError: it is not installed.
        """
        self._adapter = tracker(name)
        self._runs: dict[str, _MirroredRun] = {}

    def send(self, found: Sequence[Watched]) -> None:
        """What the runs wrote since the last time; a run that ended is closed."""
        for one in found:
            if one.path not in self._runs:
                if one.state == "unreadable":
                    continue
                self._runs[one.path] = _MirroredRun(one, self._adapter)
            run = self._runs[one.path]
            run.send()
            if one.state != "running":
                run.end(one)

    def close(self, found: Sequence[Watched]) -> None:
        """End the tracker's runs: their own may go on."""
        for one in found:
            if one.path in self._runs:
                self._runs[one.path].end(one)


class _MirroredRun:
    def __init__(self, watched: Watched, adapter: Any) -> None:
        self._path = Path(watched.path)
        self._readers: dict[Path, LineReader] = {}
        self._is_over = False
        first = next(iter(LineReader(self._path / "log.jsonl").read()), {})
        parameters = parameters_of(RunFolder(self._path, "").config)
        given = {"stage": watched.stage, **parameters}
        self._tracker: Tracker = adapter.begin(self._path, given, first.get("time"))

    def send(self) -> None:
        if self._is_over:
            return
        points = []
        for pattern in LOGS:
            for path in sorted(self._path.glob(pattern)):
                # Every supernet of an audit is called so.
                rule = f"{path.parent.name}/" if path.parent.parent.name == "supernets" else ""
                lines = self._readers.setdefault(path, LineReader(path)).read()
                points += [found for line in lines if (found := point_of(line, rule)) is not None]
        self._tracker.metrics(points)

    def end(self, watched: Watched) -> None:
        if self._is_over:
            return
        self._is_over = True
        summary = watched.summary or {}
        if summary:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder, "summary.json")
                file.write_text(json.dumps(summary, indent=2) + "\n")
                self._tracker.artifact(file)
        for name in RESULTS:
            if (self._path / name).is_file():
                self._tracker.artifact(self._path / name)
        self._tracker.end(watched.state, numbers_of(summary))

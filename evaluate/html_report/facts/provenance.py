"""Where each run comes from, and the command that repeats it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluate.lineage import Lineage, config_of, locate
from training.run_files.folder import RunFolder
from training.run_files.log import read_events


def provenance(run: RunFolder) -> dict[str, Any]:
    """The facts of one manifest; times are UTC."""
    manifest = run.manifest
    ends = [
        event["time"]
        for event in read_events(run.path / "log.jsonl")
        if event.get("event") == "finished" and "time" in event
    ]
    inputs = manifest.get("inputs", {})
    return {
        "stage": run.stage,
        "run": str(run.path),
        "is_finished": run.finished,
        "created": manifest.get("created"),
        "finished": _utc(ends[-1]) if ends else None,
        "command": command(manifest.get("command") or []),
        "seed": config_of(run).get("seed"),
        "git_commit": manifest.get("git_commit"),
        "python": manifest.get("python"),
        "machine": manifest.get("machine"),
        "versions": manifest.get("versions", {}),
        "inputs": [
            {
                "name": name,
                **described,
                "is_there": locate(described["path"], run.path) is not None,
            }
            for name, described in inputs.items()
        ],
        "splits": _splits(manifest),
        "config": config_of(run),
    }


def command(argv: Sequence[str]) -> str:
    """What to type in a shell: the program by its name, wherever it was installed."""
    return shlex.join(["evobit", *argv[1:]]) if argv else ""


def commands(lineage: Lineage) -> list[str]:
    """What was typed, the oldest run first, each once, and the exports that lie between.

    No manifest holds an export; it is told from the architecture file.
    """
    found: list[str] = []
    # A supernet can come before the search in the lineage: a retraining names it, too.
    runs = sorted(reversed(lineage.runs), key=lambda run: run.manifest.get("created") or "")
    for run in runs:
        argv = run.manifest.get("command") or []
        if argv[1:2] == ["retrain"]:
            found += exports(lineage)
        found.append(command(argv))
    return [one for one in dict.fromkeys(found) if one]


def exports(lineage: Lineage) -> list[str]:
    """The export that makes each architecture file anew, out of the search that was found."""
    search = lineage.of("search")
    if search is None:
        return []
    config = config_of(search).get("search", {})
    found, written = [], {run.path.resolve() for run in lineage.runs}
    for one in lineage.architectures:
        if Path(one["path"]).resolve().parent in written:
            continue  # the search itself wrote it, or the finals
        limits = (one.get("provenance") or {}).get("limits") or {}
        own = [
            f"{name}={limit:.17g}" for name, limit in limits.items() if limit != config.get(name)
        ]
        argv = ["evobit", "export", str(search.path), "-o", one["as"]]
        found.append(shlex.join([*argv, *(["--limit", ",".join(own)] if own else [])]))
    return found


def _splits(manifest: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each split of the data that the run recorded."""
    splits = (manifest.get("data") or {}).get("splits") or manifest.get("splits") or {}
    return {
        name: str(digest)
        for name, split in splits.items()
        if (digest := split.get("sha256") if isinstance(split, Mapping) else split)
    }


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

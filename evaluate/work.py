"""What a run cost: core-minutes by its log, and the passes of images through networks.

A core-minute is a minute of a thread that the run was given, busy or not; a GPU counts as one
core. A pass is one image through one network: forwards and backwards in training, forwards alone
in scoring.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from training.run_files.folder import RunFolder
from training.run_files.log import read_events

Event = Mapping[str, Any]

BEGINS = ("start", "started")
"""What a run logs when it is started, and again at every resume."""


@dataclass(frozen=True)
class Work:
    """What one run, or several, cost; None is not known."""

    core_minutes: float | None
    image_passes: int | None

    @classmethod
    def of_all(cls, works: Iterable[Work]) -> Work:
        """The sum; not known where one is not."""
        each = list(works)
        minutes, passes = [w.core_minutes for w in each], [w.image_passes for w in each]
        return cls(
            None if None in minutes else math.fsum(m for m in minutes if m is not None),
            None if None in passes else sum(p for p in passes if p is not None),
        )


def work_of_run(folder: RunFolder, num_search_images: int) -> Work:
    """That of a supernet's or a search's run; the search split holds so many images."""
    manifest = folder.manifest
    events = read_events(folder.path / "log.jsonl")
    threads = _threads(manifest)
    return Work(core_minutes(events, threads), _passes(manifest, num_search_images))


def work_of_training(folder: Path, batch_size: int) -> Work:
    """That of the training of one network in its own folder."""
    events = read_events(folder / "log.jsonl")
    steps: dict[Any, int] = {}
    for event in events:
        if event.get("event") == "train":
            steps[event.get("phase")] = int(event["step"])  # one trained again counts once
    return Work(core_minutes(events, None), batch_size * sum(steps.values()) if steps else None)


def core_minutes(events: Sequence[Event], threads: int | None) -> float | None:
    """Minutes between a start and the last line before the next, times the cores of that start.

    `threads`: those of a start that does not say how many. None where nothing was logged.
    """
    cores: int | None = None
    seconds = 0.0
    for event, following in pairwise(events):
        if event.get("event") in BEGINS:
            cores = _cores(event, threads)
        if cores is not None and following.get("event") not in BEGINS:
            seconds += cores * max(float(following["time"]) - float(event["time"]), 0.0)
    return None if cores is None else seconds / 60


def _cores(start: Event, threads: int | None) -> int | None:
    """What a start says that it was given."""
    own = start.get("threads") or threads
    if str(start.get("device", "cpu")) != "cpu":
        own = 1
    beside = int(start.get("workers") or start.get("processes") or 1)
    return None if own is None else int(own) * beside


def _threads(manifest: Mapping[str, Any]) -> int | None:
    """Threads of a worker by the config, where a start does not log them."""
    section = (manifest.get("config") or {}).get(manifest["stage"]) or {}
    return (section.get("scoring") or {}).get("threads") or section.get("threads")


def _passes(manifest: Mapping[str, Any], num_search_images: int) -> int | None:
    """As the summary has them; else reckoned from what it has, where that is plain."""
    summary, config = manifest.get("summary") or {}, manifest.get("config") or {}
    if "image_passes" in summary:
        return int(summary["image_passes"])
    match manifest["stage"]:
        case "supernet":
            # Every path has one choice at each position.
            counts = [sum(choices.values()) for choices in summary["update_counts"].values()]
            return config["supernet"]["batch_size"] * max(counts)
        case "search" if not config["search"].get("racing"):
            scoring = config["search"]["scoring"]
            scored = scoring.get("search_images") or num_search_images
            adapt = scoring.get("adapt") or {"steps": 0, "batch_size": 0}
            own = adapt["steps"] * adapt["batch_size"]
            return summary["evaluations"] * (own + scoring["calibration_images"] + scored)
    return None

"""Training curves out of the logs of a run: loss, and top-1 where it was logged, over epochs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MAX_POINTS = 150
"""Points of a curve that is kept; of a longer one every so-manieth, and the last."""

MEASURES = ("loss", "top1")


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


def curves(path: Path, name: str) -> dict[str, Any]:
    """What the log at `path` says of one training: `{"name", "loss": [[epoch, loss], ...], ...}`.

    Of a step that was trained again after a resume the last counts.
    """
    by_step: dict[Any, dict[str, Any]] = {}
    for event in read_events(path):
        if event.get("event") == "train" and "epoch" in event:
            by_step[event.get("step")] = event
    found: dict[str, Any] = {"name": name}
    for measure in MEASURES:
        points = [
            [round(event["epoch"], 4), round(event[measure], 5)]
            for event in by_step.values()
            if isinstance(event.get(measure), (int, float)) and math.isfinite(event[measure])
        ]
        found[measure] = every_so_many(sorted(points), MAX_POINTS)
    return found


def every_so_many(points: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the points, evenly spaced, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    last = len(points) - 1
    return [points[round(k * last / (most - 1))] for k in range(most)]

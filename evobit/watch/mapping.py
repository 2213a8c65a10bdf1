"""What a tracker gets of a line of a run's log; pure functions of the line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from supernet.files.plain_data import flatten, is_number

STEPS = ("step", "index", "generation")
"""A line is at the first of these that it has."""
NOT_NUMBERS = ("time", *STEPS)
ENDS = "finished"
"""Its line holds the summary, which is sent at the end."""


class Point(NamedTuple):
    """Numbers of one moment, named `group/name`; `time` is Unix seconds, None: unknown."""

    step: int
    values: Mapping[str, float]
    time: float | None = None


def point_of(line: Mapping[str, Any], prefix: str = "") -> Point | None:
    """What a line has to draw; None where there is nothing.

    The group is the name of what is trained, else the event; of a line of the history (which has
    neither, but an index) it is "candidate". `prefix` is put before it.
    """
    if line.get("event") == ENDS:
        return None
    step = next((line[name] for name in STEPS if is_number(line.get(name))), None)
    group = prefix + str(line.get("name") or line.get("event") or "candidate")
    if step is None:
        if line.get("event") != "network":
            return None
        step, group = 0, f"{group}/score"  # once a network
    values = {
        f"{group}/{name}": float(value)
        for name, value in numbers_of(line).items()
        if name not in NOT_NUMBERS
    }
    return Point(int(step), values, line.get("time")) if values else None


def numbers_of(document: Mapping[str, Any]) -> dict[str, float]:
    """All finite numbers, nested ones by dotted name; lists and text left out."""
    found = flatten(document, numbered_from=None)
    return {name: float(value) for name, value in found.items() if is_number(value)}


def parameters_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a resolved config by dotted name, as text."""
    return {name: str(value) for name, value in flatten(config, numbered_from=None).items()}

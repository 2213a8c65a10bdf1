"""Who left the finals when: the cross-entropy of each network, rung after rung."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluate.finals.entrants import DESIGN, FOUND, GIVEN
from evaluate.finals.report import KINDS
from supernet.charts.scales import Scale
from supernet.charts.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Entry,
    Plot,
    axes,
    framed,
    mark,
    path,
)

MARKS = {
    FOUND: ("circle", "o1", "k0"),
    DESIGN: ("square", "o2", "k1"),
    GIVEN: ("triangle", "o0", "k2"),
}
"""Of each kind its shape, and the classes of its marks and lines."""


def rungs(summary: Mapping[str, Any]) -> Plot:
    """A line a network, as long as it was in the race."""
    places = range(1, len(summary["rungs"]) + 1)
    points: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for place, rung in zip(places, summary["rungs"], strict=True):
        for one in rung["entrants"]:
            points.setdefault(one["name"], []).append((place, one))
    losses = [one["loss"] for race in points.values() for _, one in race]
    x = Scale.over([0.5, len(places) + 0.5], LEFT, WIDTH - RIGHT, whole=True)
    y = Scale.over(losses, HEIGHT - BOTTOM, TOP, padding=0.06)
    parts = [axes(x, y, "rung", "cross-entropy, nats", whole_x=True)]
    for race in points.values():
        _, _, line = MARKS[race[0][1]["kind"]]
        parts.append(path([(x(place), y(one["loss"])) for place, one in race], f"curve {line}"))
    for name, race in points.items():
        for place, one in race:
            shape, dot, _ = MARKS[one["kind"]]
            told = f"{name}: {one['loss']:.4f} nats on rung {place}"
            parts.append(mark(shape, x(place), y(one["loss"]), said=told, class_=f"point {dot}"))
    kinds = {one["kind"] for race in points.values() for _, one in race}
    entries = [
        Entry(KINDS[kind], MARKS[kind][0], MARKS[kind][1]) for kind in MARKS if kind in kinds
    ]
    sizes = ", then ".join(str(len(rung["entrants"])) for rung in summary["rungs"])
    return framed(
        "finals",
        "Who left the finals when",
        "".join(parts),
        entries,
        said=f"{sizes} networks; {summary['winner']} won.",
        note="Less is better. Each rung trains longer, anew from the supernet's weights.",
    )

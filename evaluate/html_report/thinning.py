"""Fewer points where a plot would hold too many: those that lie on top of one another go first."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

MAX_DRAWN = 1200
"""Points of one plot."""

Placed = tuple[float, float, Hashable]
"""Place in SVG units, and what sort of point it is: only equal sorts hide each other."""


def thin(points: Sequence[Placed], kept: Collection[int] = (), most: int = MAX_DRAWN) -> list[int]:
    """Indices of the points to draw, ascending: all of `kept`, and about `most` at most.

    The plot is cut into squares of 1 unit, 2 units, ... until few enough are filled; the first of
    each sort in a square is drawn for all.
    """
    if len(points) <= most:
        return list(range(len(points)))
    wanted = set(kept)
    side = 0
    while True:
        side += 1
        first: dict[tuple[int, int, Hashable], int] = {}
        for number, (x, y, sort) in enumerate(points):
            first.setdefault((int(x // side), int(y // side), sort), number)
        drawn = wanted.union(first.values())
        # Squares that no longer become fewer: every sort has filled one.
        if len(drawn) <= max(most, len(wanted)) or side > 1000:
            return sorted(drawn)

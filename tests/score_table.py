"""A made-up table of known accuracies, small enough to be checked by hand."""

from __future__ import annotations

from search.limits.sampling import all_architectures
from search.scoring.known_table import KnownTable, Row, TableSpace
from supernet.space import Position

NOISE = ((0.0, 0.25, -0.25), (0.5, -0.5, 0.0), (-0.25, 0.0, 0.25))
"""Points that each of three trainings is off, by the last choice."""


def made_up() -> KnownTable:
    """27 networks: each step at a position is worth 10, 3 or 1 points, and costs 100 FLOPs."""
    positions = tuple(Position(f"block{n}", (0, 1, 2), "kind") for n in range(3))
    space = TableSpace("made-up", positions)
    rows = {}
    for one in all_architectures(space):
        first, second, last = (int(choice) for _, choice in one.choices)
        right = 50.0 + 10 * first + 3 * second + last
        costs = {"flops": 1_000 + 100 * (first + second + last), "milliwatts": 5.5}
        rows[one] = Row(tuple(right + off for off in NOISE[last]), costs)
    return KnownTable(space, rows)

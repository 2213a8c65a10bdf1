"""Coordinate descent over architectures, and the test whether a cost is a sum over positions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from supernet.architecture import Architecture
from supernet.space import SearchSpace

Objective = Callable[[Architecture], float]

SWEEPS = 10
"""Passes over all positions in one descent, at most."""


def descend(
    space: SearchSpace, objective: Objective, start: Architecture, *, pairs: bool = False
) -> Architecture:
    """Minimise `objective` one position at a time until nothing improves (at most 10 passes).

    `pairs` also changes two positions at once where single changes are at an end, which trades one
    cost against another. Finds the minimum of any sum over positions in one pass.
    """
    here, lowest = start, objective(start)
    for _ in range(SWEEPS):
        before = lowest
        here, lowest = _pass(objective, here, lowest, _singles(space))
        if lowest == before and pairs and lowest > 0:
            here, lowest = _pass(objective, here, lowest, _pairs(space))
        if lowest == before:
            break
    return here


def _pass(
    objective: Objective,
    here: Architecture,
    lowest: float,
    moves: Iterator[dict[str, int | float | str]],
) -> tuple[Architecture, float]:
    """Try all moves in turn and keep each that lowers the objective."""
    for move in moves:
        there = Architecture(tuple({**dict(here.choices), **move}.items()))
        value = objective(there)
        if value < lowest:
            here, lowest = there, value
    return here, lowest


def _singles(space: SearchSpace) -> Iterator[dict[str, int | float | str]]:
    for position in space.positions:
        for choice in position.choices:
            yield {position.name: choice}


def _pairs(space: SearchSpace) -> Iterator[dict[str, int | float | str]]:
    for first, second in itertools.combinations(space.positions, 2):
        for one in first.choices:
            for other in second.choices:
                yield {first.name: one, second.name: other}


def is_separable(space: SearchSpace, cost: Objective, samples: Sequence[Architecture]) -> bool:
    """Whether the sum of one-position differences predicts the cost of every sample.

    A test by examples, not a proof; exact for integer costs.
    """
    base = space.first()
    choices = dict(base.choices)
    at_base = cost(base)
    change = {
        (position.name, choice): cost(
            Architecture(tuple({**choices, position.name: choice}.items()))
        )
        - at_base
        for position in space.positions
        for choice in position.choices
    }
    for sample in samples:
        predicted = at_base + sum(change[item] for item in sample.choices)
        actual = cost(sample)
        if abs(predicted - actual) > 1e-9 * max(1.0, abs(actual)):
            return False
    return True

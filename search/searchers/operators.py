"""Mutation and crossover of architectures: pure functions of their arguments and a generator.

Source: SPOS (arXiv 1904.00420) and MetaPruning (arXiv 1903.10258), whose codes cross alike.
Differs from the paper: a mutation never redraws the value it replaces (as in MetaPruning's code,
not in SPOS's) and always changes at least one position (in both codes it may change none).
"""

from __future__ import annotations

from random import Random

from supernet.architecture import Architecture
from supernet.space import SearchSpace


def mutate(
    space: SearchSpace, architecture: Architecture, rng: Random, probability: float
) -> Architecture:
    """Change each position with `probability` (0-1), always to a different choice.

    Where no position was drawn, one is drawn uniformly and changed. An architecture without any
    position of two or more choices is returned as it is.
    """
    movable = [position for position in space.positions if len(position.choices) > 1]
    drawn = [position for position in movable if rng.random() < probability]
    if not drawn and movable:
        drawn = [rng.choice(movable)]
    changed = dict(architecture.choices)
    for position in drawn:
        others = [choice for choice in position.choices if choice != changed[position.name]]
        changed[position.name] = rng.choice(others)
    return Architecture(tuple(changed.items()))


def crossover(first: Architecture, second: Architecture, rng: Random) -> Architecture:
    """Take each position's choice from either parent with probability 0.5."""
    pairs = zip(first.choices, second.choices, strict=True)  # both in the order of the space
    return Architecture(tuple([a if rng.random() < 0.5 else b for a, b in pairs]))

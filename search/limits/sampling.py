"""Random feasible architectures within a bounded number of draws, however tight the limits."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random

from search.limits.measure import Measure
from supernet.architecture import Architecture
from supernet.costs.limits import Limit, violation, within
from supernet.space import SearchSpace

REJECTION_TRIES = 100
"""Uniform draws before the walk; halved for good each time none is feasible. Chosen, not tuned."""

WALK_SWEEPS = 4
"""Steps of a walk per position before its end may be taken. Chosen, not tuned."""

WALK_TRIES = 20
"""How many times the walk's length it may go on while it stands on known architectures."""

ENUMERATED = 4096
"""Spaces of at most so many architectures are listed in full when draws find nothing new."""


class FeasibleSampler:
    """Draws architectures that keep every limit and are not yet known.

    First uniform draws with rejection; where those fail, a Markov walk from a feasible start
    through feasible neighbours (one to three positions changed at once; symmetric proposals, so
    that it tends to the uniform distribution over what it can reach); in a small space at last
    all architectures in turn. Every loop is bounded.
    """

    def __init__(
        self,
        space: SearchSpace,
        measure: Measure,
        constraints: Sequence[Limit],
        start: Architecture,
    ) -> None:
        """`start` is any feasible architecture: the cheapest, say."""
        self.space = space
        self._measure = measure
        self._constraints = tuple(constraints)
        self._start = start
        self._tries = REJECTION_TRIES

    def is_feasible(self, architecture: Architecture) -> bool:
        """Whether `architecture` keeps every limit."""
        # Without limits nothing is counted: decoding is the dearest part of a proposal.
        return not self._constraints or within(self._constraints, self._measure(architecture))

    def costs(self, architecture: Architecture) -> Mapping[str, int | float]:
        """All costs of `architecture` by name."""
        return self._measure(architecture)

    def violation(self, costs: Mapping[str, int | float]) -> float:
        """By how much `costs` break the limits, in shares of them; 0 where all are kept."""
        return violation(self._constraints, costs)

    def draw(self, rng: Random, known: Collection[Architecture]) -> Architecture | None:
        """One feasible architecture outside `known`, or None where none was found."""
        if len(known) >= self.space.size:
            return None
        found_feasible = False
        for _ in range(self._tries):
            architecture = self.space.sample(rng)
            if self.is_feasible(architecture):
                found_feasible = True
                if architecture not in known:
                    return architecture
        if not found_feasible:
            self._tries = max(1, self._tries // 2)
        if self.space.size <= ENUMERATED:
            return self._pick(rng, known)
        return self._walk(rng, known)

    def _pick(self, rng: Random, known: Collection[Architecture]) -> Architecture | None:
        """A uniform draw from the full list of what is left in a small space."""
        left = [a for a in all_architectures(self.space) if a not in known and self.is_feasible(a)]
        return rng.choice(left) if left else None

    def _walk(self, rng: Random, known: Collection[Architecture]) -> Architecture | None:
        movable = [position for position in self.space.positions if len(position.choices) > 1]
        if not movable:
            return self._start if self._start not in known else None
        length = WALK_SWEEPS * len(movable)
        here = dict(self._start.choices)
        for step in range(1, length * WALK_TRIES + 1):
            there = dict(here)
            for position in rng.sample(movable, min(rng.randint(1, 3), len(movable))):
                there[position.name] = rng.choice(position.choices)
            architecture = Architecture(tuple(there.items()))
            if self.is_feasible(architecture):
                here = there
                if step >= length and architecture not in known:
                    return architecture
        return None


def all_architectures(space: SearchSpace) -> Iterator[Architecture]:
    """Every architecture of a space, the last position varying fastest."""
    names = [position.name for position in space.positions]
    for choices in itertools.product(*(position.choices for position in space.positions)):
        yield Architecture(tuple(zip(names, choices, strict=True)))

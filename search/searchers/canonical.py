"""One form for architectures that are the same network."""

from __future__ import annotations

from random import Random

from supernet.architecture import Architecture
from supernet.space import Position, SearchSpace

SAMPLED = 40
"""Random architectures in which a position that is ever without effect is looked for."""

REMEMBERED = 20_000
"""Architectures whose form is kept."""


class Canonical:
    """`SearchSpace.canonical`, which takes many decodings, at the positions that matter, once each.

    A position that has an effect in each of some random architectures is taken to have one always:
    if that is wrong, two forms of one network are told apart, and no more.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._known: dict[Architecture, Architecture] = {}
        self._inert: list[Position] | None = None

    def __call__(self, architecture: Architecture) -> Architecture:
        """The form of `architecture`."""
        if self._inert is None:
            self._inert = self._find()
        if not self._inert:
            return architecture
        if architecture not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[architecture] = self._space.canonical(architecture, self._inert)
        return self._known[architecture]

    def _find(self) -> list[Position]:
        """The positions that are without effect in one of the sampled architectures."""
        rng, space = Random(0), self._space
        found: dict[str, Position] = {}
        for _ in range(SAMPLED):
            one = space.sample(rng)
            changed = dict(space.canonical(one).choices)
            for position in space.positions:
                if changed[position.name] != one[position.name]:
                    found[position.name] = position
        return [position for position in space.positions if position.name in found]

"""Successive halving: who goes on to a longer training."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from evaluate.finals.entrants import DESIGN, FOUND, Entrant

FEWEST = 2
"""Entrants of every rung, as long as there are so many."""


def survivors(ranked: Sequence[Entrant], keep: float) -> list[Entrant]:
    """Those of `ranked`, best first, that go on: the share `keep`, rounded up, in their order.

    The best found network and the best hand-made design go on in any case, besides, so that each
    is trained as long as a network can be here.
    """
    count = _count(len(ranked), keep)
    kinds = [one.kind for one in ranked]
    seeded = [kinds.index(kind) for kind in (FOUND, DESIGN) if kind in kinds]
    return [one for place, one in enumerate(ranked) if place < count or place in seeded]


def most_surviving(entrants: int, keep: float, given: int = 0) -> int:
    """How many of so many go on, at most; `given` of them are neither found nor hand-made."""
    count = _count(entrants, keep)
    # Both the best found and the best design are behind the others only if those fill the places.
    return min(entrants, count + (2 if given >= count else 1))


def _count(entrants: int, keep: float) -> int:
    return min(max(FEWEST, ceil(keep * entrants)), entrants)

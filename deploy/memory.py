"""Places in one block of memory, shared by what is never needed at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64
"""Bytes; a cache line."""


@dataclass(frozen=True)
class Lifetime:
    """Bytes needed from step `first`, which writes them, to step `last`, which reads them last."""

    num_bytes: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are needed in some step. A step never writes over what it reads."""
        return self.first <= other.last and other.first <= self.last


def place(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """The offset of each, in bytes, and the bytes needed in all.

    The largest is placed first, each at the lowest offset that is free for its whole life.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []  # by offset
    total = 0
    for index in sorted(range(len(lifetimes)), key=lambda i: -lifetimes[i].num_bytes):
        own, offset = lifetimes[index], 0
        for other in placed:
            if lifetimes[other].meets(own):
                if offset + own.num_bytes <= offsets[other]:
                    break
                offset = max(offset, _round_up(offsets[other] + lifetimes[other].num_bytes))
        offsets[index] = offset
        total = max(total, offset + own.num_bytes)
        placed.append(index)
        placed.sort(key=lambda i: offsets[i])
    return offsets, total


def _round_up(num_bytes: int) -> int:
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT

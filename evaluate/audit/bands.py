"""Bands of equal OPs: ranges so narrow that networks in one of them cost the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Band(NamedTuple):
    """A range of OPs, both ends included."""

    min_ops: float
    max_ops: float

    def holds(self, ops: float) -> bool:
        """Whether a network of so many OPs is in it."""
        return self.min_ops <= ops <= self.max_ops


def densest_bands(ops: Sequence[float], count: int, width: float) -> list[Band]:
    """In each of `count` equal parts of the networks by OPs, the range that holds most of them.

    `ops`: of each network. `width`: what a range spans at most, as a share of its lower end; its
    ends are OPs of networks. Bands ascend and have nothing in common; there are fewer than `count`
    where a part has no OPs that are above the band before it.
    """
    bands: list[Band] = []
    for part in np.array_split(np.sort(ops), count):
        if bands:
            part = part[part > bands[-1].max_ops]
        if not len(part):
            break
        ends = np.searchsorted(part, part * (1 + width), side="right")
        first = int(np.argmax(ends - np.arange(len(part))))
        bands.append(Band(float(part[first]), float(part[ends[first] - 1])))
    return bands

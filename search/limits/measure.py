"""The costs of an architecture by name, counted once and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple
from functools import lru_cache

from supernet.architecture import Architecture
from supernet.costs import Costs, layer_cost
from supernet.space import SearchSpace
from supernet.spec import BlockSpec, NetworkSpec

Measure = Callable[[Architecture], Mapping[str, int | float]]
"""From an architecture to its costs by name."""

REMEMBERED = 10_000
"""Architectures whose costs are kept, about 1 kB each: those between a draw and its record."""


class CostMeter:
    """Callable: the analytic costs of `supernet.costs`, and any measured ones added by name.

    `measured` maps a cost's name (unit as suffix) to a function of the decoded network. Costs of
    a block are counted once; what is left is to decode the network, some 0.1 ms.
    """

    def __init__(
        self,
        space: SearchSpace,
        measured: Mapping[str, Callable[[NetworkSpec], float]] | None = None,
    ) -> None:
        self._space = space
        self._measured = dict(measured or {})
        self._blocks: dict[BlockSpec, tuple[int, ...]] = {}
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._measure)

    def __call__(self, architecture: Architecture) -> Mapping[str, int | float]:
        """All costs of `architecture`, each in its own unit."""
        return self._remembered(architecture)

    def _measure(self, architecture: Architecture) -> Mapping[str, int | float]:
        # A copy is decoded: the mapping that it makes of itself must not stay in the history.
        spec = self._space.decode(Architecture(architecture.choices))
        blocks = map(self._block, spec.blocks)
        costs = Costs(*map(sum, zip(*blocks, strict=True))).as_dict()
        for name, measured in self._measured.items():
            costs[name] = measured(spec)
        return costs

    def _block(self, block: BlockSpec) -> tuple[int, ...]:
        """The fields of its `Costs`."""
        if block not in self._blocks:
            self._blocks[block] = astuple(sum(map(layer_cost, block.layers()), Costs()))
        return self._blocks[block]

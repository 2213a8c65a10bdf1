"""What was drawn: how often each choice, and of rule cost-bins how often each cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from supernet.architecture import Architecture
from supernet.space import SearchSpace
from training.path_sampling.config import PathSamplingConfig
from training.path_sampling.rules import Draw, bin_edges, bin_of, cost_of


class UpdateCounts:
    """How often each choice of each position was updated."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, architecture: Architecture) -> None:
        """Count one path."""
        self._counts.update((name, str(choice)) for name, choice in architecture.choices)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Position -> choice (as text) -> updates."""
        nested: dict[str, dict[str, int]] = {}
        for (name, choice), count in sorted(self._counts.items()):
            nested.setdefault(name, {})[choice] = count
        return nested

    def load(self, counts: dict[str, dict[str, int]]) -> None:
        """Take up counts from `as_dict`."""
        self._counts = Counter(
            {(name, choice): n for name, by in counts.items() for choice, n in by.items()}
        )


class BinCounts:
    """How often a path's cost lay in each bin or outside all, and how often a bin was not met."""

    def __init__(self, config: PathSamplingConfig) -> None:
        self._config = config
        self._edges = bin_edges(config)
        self._drawn = [0] * (len(self._edges) - 1)
        self._outside, self._fallbacks = 0, 0

    def add(self, value: float, fell_back: bool) -> None:
        """Count one path by its cost, whichever bin it was drawn for."""
        number = bin_of(self._config, value)
        if number is None:
            self._outside += 1
        else:
            self._drawn[number] += 1
        self._fallbacks += fell_back

    def as_dict(self) -> dict[str, Any]:
        """The cost's name, the bins' edges, paths drawn in each bin and outside, fallbacks."""
        return {
            "cost": self._config.cost,
            "edges": self._edges,
            "drawn": list(self._drawn),
            "outside": self._outside,
            "fallbacks": self._fallbacks,
        }

    def load(self, counts: Mapping[str, Any]) -> None:
        """Take up counts from `as_dict`."""
        self._drawn = list(counts["drawn"])
        self._outside, self._fallbacks = counts["outside"], counts["fallbacks"]


class DrawRecord:
    """All that is kept of the paths drawn, for the checkpoint and the run's summary."""

    def __init__(self, space: SearchSpace, config: PathSamplingConfig) -> None:
        self._space, self._config = space, config
        self._updates = UpdateCounts()
        self._bins = BinCounts(config) if config.rule == "cost-bins" else None

    def add(self, draw: Draw) -> None:
        """Count the paths of one step."""
        for architecture in draw.paths:
            self._updates.add(architecture)
            if self._bins is not None:
                value = cost_of(self._space, self._config, architecture)
                self._bins.add(value, draw.fell_back)

    def as_dict(self) -> dict[str, Any]:
        """`update_counts`, and `cost_bins` where the rule is of that name."""
        bins = {} if self._bins is None else {"cost_bins": self._bins.as_dict()}
        return {"update_counts": self._updates.as_dict(), **bins}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what `as_dict` gave."""
        self._updates.load(state["update_counts"])
        if self._bins is not None:
            self._bins.load(state["cost_bins"])

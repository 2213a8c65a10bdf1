"""Which architectures a supernet training step updates.

Uniform: Single Path One-Shot (arXiv 1904.00420). Strict fairness: FairNAS (arXiv 1907.01845).
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Literal

from pydantic import BaseModel, ConfigDict

from supernet.architecture import Architecture
from supernet.costs import COST_NAMES, cost
from supernet.files import UserError
from supernet.space import SearchSpace

MAX_DRAWS = 1000


class PathSamplingConfig(BaseModel):
    """`rule`: uniform; strict-fairness; cost-range (uniform inside minimum..maximum of `cost`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["uniform", "strict-fairness", "cost-range"] = "uniform"
    cost: str = "ops"
    minimum: float = 0.0
    maximum: float = float("inf")


def draw_paths(
    space: SearchSpace, config: PathSamplingConfig, rng: Random
) -> tuple[Architecture, ...]:
    """The architectures of one step; their gradients are added before the optimiser steps."""
    match config.rule:
        case "uniform":
            return (space.sample(rng),)
        case "strict-fairness":
            return _fair_paths(space, rng)
        case "cost-range":
            return (_draw_in_range(space, config, rng),)


def _fair_paths(space: SearchSpace, rng: Random) -> tuple[Architecture, ...]:
    """As many paths as the largest position has choices; each path takes every choice in turn.

    A position with K choices is updated equally often in each, up to one where K does not divide
    the number of paths.
    """
    num_paths = max(len(position.choices) for position in space.positions)
    columns = []
    for position in space.positions:
        order: list = []
        while len(order) < num_paths:
            order += rng.sample(position.choices, len(position.choices))
        columns.append([(position.name, choice) for choice in order[:num_paths]])
    return tuple(Architecture(row) for row in zip(*columns, strict=True))


def check_sampling(space: SearchSpace, config: PathSamplingConfig, rng: Random) -> None:
    """Refuse a rule that cannot be followed, before any training.

    Raises:
        UserError: a space of one architecture, an unknown cost, or no architecture in the cost
            range in 1,000 draws.
    """
    space.check_searchable()
    if config.rule != "cost-range":
        return
    if config.cost not in COST_NAMES:
        raise UserError(
            f"supernet.sampling.cost: no cost '{config.cost}'; costs are {', '.join(COST_NAMES)}"
        )
    if _distance(space, config, _draw_in_range(space, config, rng)) > 0:
        raise UserError(
            f"supernet.sampling: none of {MAX_DRAWS} drawn architectures has {config.cost} "
            f"between {config.minimum:g} and {config.maximum:g}"
        )


def _draw_in_range(space: SearchSpace, config: PathSamplingConfig, rng: Random) -> Architecture:
    """The first draw in the range; after 1,000 draws outside it, the nearest of them."""
    nearest, least = space.first(), float("inf")
    for _ in range(MAX_DRAWS):
        architecture = space.sample(rng)
        distance = _distance(space, config, architecture)
        if distance < least:
            nearest, least = architecture, distance
        if distance == 0:
            break
    return nearest


def _distance(space: SearchSpace, config: PathSamplingConfig, architecture: Architecture) -> float:
    """How far the architecture's cost lies outside the range; 0 inside."""
    value = cost(space.decode(architecture)).as_dict()[config.cost]
    return max(config.minimum - value, value - config.maximum, 0.0)


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

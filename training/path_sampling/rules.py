"""The rules by which a step draws its paths.

Uniform and cost-bins: Single Path One-Shot (arXiv 1904.00420). Strict fairness: FairNAS (arXiv
1907.01845). Sandwich: universally slimmable networks (arXiv 1903.05134), BigNAS (arXiv 2003.11142).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from supernet.architecture import Architecture
from supernet.costs import cost
from supernet.space import SearchSpace
from training.path_sampling.config import NUM_RANDOM, PathSamplingConfig
from training.path_sampling.periods import Period

MAX_DRAWS = 1000
MAX_DRAWS_FOR_A_BIN = 500
"""As in the code of Single Path One-Shot."""


@dataclass(frozen=True)
class Draw:
    """The architectures of one step; `fell_back`: the bin that was picked was not met."""

    paths: tuple[Architecture, ...]
    fell_back: bool = False


def draw_paths(
    space: SearchSpace, config: PathSamplingConfig, rng: Random
) -> tuple[Architecture, ...]:
    """The architectures of one step without a schedule; their gradients are added."""
    return draw(Period(0, space), config, rng).paths


def draw(period: Period, config: PathSamplingConfig, rng: Random) -> Draw:
    """The architectures of one step; their gradients are added before the optimiser steps."""
    space = period.space
    match config.rule:
        case "uniform":
            return Draw((space.sample(rng),))
        case "strict-fairness":
            return Draw(_fair_paths(space, num_paths(space, config), rng))
        case "cost-range":
            return Draw((draw_in_range(space, config, rng),))
        case "cost-bins":
            return _draw_in_a_bin(space, config, rng)
        case "sandwich":
            others = [space.sample(rng) for _ in range(_num_random(config))]
            return Draw((*period.ends, *others))


def num_paths(space: SearchSpace, config: PathSamplingConfig) -> int:
    """How many architectures of `space` a step draws."""
    match config.rule:
        case "strict-fairness":
            return max(len(position.choices) for position in space.positions)
        case "sandwich":
            return 2 + _num_random(config)
        case _:
            return 1


def _num_random(config: PathSamplingConfig) -> int:
    return NUM_RANDOM if config.num_random is None else config.num_random


def _fair_paths(space: SearchSpace, num_paths: int, rng: Random) -> tuple[Architecture, ...]:
    """Paths that take every choice in turn.

    A position with K choices is updated equally often in each, up to one where K does not divide
    the number of paths.
    """
    columns = []
    for position in space.positions:
        order: list = []
        while len(order) < num_paths:
            order += rng.sample(position.choices, len(position.choices))
        columns.append([(position.name, choice) for choice in order[:num_paths]])
    return tuple(Architecture(row) for row in zip(*columns, strict=True))


def draw_in_range(space: SearchSpace, config: PathSamplingConfig, rng: Random) -> Architecture:
    """The first draw in the range; after 1,000 draws outside it, the nearest of them."""
    nearest, least = space.first(), float("inf")
    for _ in range(MAX_DRAWS):
        architecture = space.sample(rng)
        distance = distance_to_range(config, cost_of(space, config, architecture))
        if distance < least:
            nearest, least = architecture, distance
        if distance == 0:
            break
    return nearest


def _draw_in_a_bin(space: SearchSpace, config: PathSamplingConfig, rng: Random) -> Draw:
    """Pick a bin, draw until one lands in it; after 500 that do not, one of any cost."""
    assert config.num_bins is not None
    picked = rng.randrange(config.num_bins)
    for _ in range(MAX_DRAWS_FOR_A_BIN):
        architecture = space.sample(rng)
        if bin_of(config, cost_of(space, config, architecture)) == picked:
            return Draw((architecture,))
    return Draw((space.sample(rng),), fell_back=True)


def bin_of(config: PathSamplingConfig, value: float) -> int | None:
    """The number of the bin that a cost lies in; each holds its lower edge. None outside all."""
    assert config.num_bins is not None
    if not config.minimum <= value < config.maximum:
        return None
    share = (value - config.minimum) * config.num_bins / (config.maximum - config.minimum)
    return min(int(share), config.num_bins - 1)  # rounding may reach the upper edge


def bin_edges(config: PathSamplingConfig) -> list[float]:
    """The num_bins + 1 edges, from minimum to maximum."""
    assert config.num_bins is not None
    width = (config.maximum - config.minimum) / config.num_bins
    return [config.minimum + number * width for number in range(config.num_bins + 1)]


def distance_to_range(config: PathSamplingConfig, value: float) -> float:
    """How far a cost lies outside minimum..maximum; 0 inside."""
    return max(config.minimum - value, value - config.maximum, 0.0)


def cost_of(space: SearchSpace, config: PathSamplingConfig, architecture: Architecture) -> float:
    """The cost that the rule looks at, of one architecture."""
    return cost(space.decode(architecture)).as_dict()[config.cost]

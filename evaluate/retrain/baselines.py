"""What a found architecture is compared with: uniform and random ones under the same limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from latency_tables.layer_keys import distinct_layers
from latency_tables.predictor import Predictor
from latency_tables.table import check_layers, load_table
from supernet.architecture import Architecture
from supernet.costs import cost
from supernet.costs.limits import Limit, within
from supernet.costs.table import LATENCY
from supernet.files import UserError
from supernet.space import SearchSpace
from supernet.spec import NetworkSpec
from training.seeds import stream

MAX_DRAWS = 20_000

CostsOf = Callable[[NetworkSpec], Mapping[str, int | float]]
"""All costs of a network that limits may be on, by name."""


def analytic_costs(spec: NetworkSpec) -> Mapping[str, int | float]:
    """The costs that need no measurement."""
    return cost(spec).as_dict()


def costs_with_latency(path: Path | None, space: SearchSpace, limits: Iterable[Limit]) -> CostsOf:
    """The analytic costs, and latency where there is the `path` of a table; `limits` are on them.

    Raises:
        UserError: limits on latency without a table, or a table that does not fit the space.
    """
    if path is None:
        if any(limit.name == LATENCY for limit in limits):
            raise UserError(
                "the limits are on latency: set retrain.latency_table to the table of the search, "
                "or retrain.limits to others"
            )
        return analytic_costs
    table = load_table(path)
    check_layers(table, distinct_layers(space), path)
    predict = Predictor(table)
    return lambda spec: {**analytic_costs(spec), LATENCY: predict(spec)}


def fitting_uniform(
    space: SearchSpace, limits: Sequence[Limit], costs_of: CostsOf
) -> dict[str, Architecture]:
    """The uniform architectures within the limits, by name."""
    return {
        name: architecture
        for name, architecture in space.uniform_architectures().items()
        if within(limits, costs_of(space.decode(architecture)))
    }


def uniform_baselines(
    space: SearchSpace, limits: Sequence[Limit], count: int, costs_of: CostsOf
) -> dict[str, Architecture]:
    """The `count` uniform architectures of most OPs within the limits, by name."""
    fitting = fitting_uniform(space, limits, costs_of)
    by_ops = sorted(fitting, key=lambda name: -cost(space.decode(fitting[name])).ops)
    return {name: fitting[name] for name in by_ops[:count]}


def random_baselines(
    space: SearchSpace, limits: Sequence[Limit], count: int, seed: int, costs_of: CostsOf
) -> dict[str, Architecture]:
    """`count` distinct architectures drawn uniformly among those within the limits.

    Raises:
        UserError: not found in 20,000 draws.
    """
    found = draw_distinct(space, limits, count, stream(seed, "random baselines"), costs_of)
    if len(found) < count:
        raise UserError(
            f"retrain.random: found {len(found)} of {count} random architectures within the "
            f"limits in {MAX_DRAWS} draws; ask for fewer"
        )
    return {f"random {number}": found_one for number, found_one in enumerate(found, start=1)}


def draw_distinct(
    space: SearchSpace, limits: Sequence[Limit], count: int, rng: Random, costs_of: CostsOf
) -> list[Architecture]:
    """`count` distinct networks within the limits, or those found in 20,000 draws."""
    found: dict[NetworkSpec, Architecture] = {}  # choices without effect make no other network
    for _ in range(MAX_DRAWS):
        if len(found) == count:
            break
        architecture = space.sample(rng)
        spec = space.decode(architecture)
        if within(limits, costs_of(spec)):
            found.setdefault(spec, architecture)
    return list(found.values())

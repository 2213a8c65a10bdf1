"""Refuse a way of drawing paths that cannot be followed, before any training."""

from __future__ import annotations

from random import Random

from supernet.costs.table import ANALYTIC
from supernet.files import UserError
from supernet.files.telling import tell
from supernet.space import SearchSpace
from training.path_sampling.config import PathSamplingConfig
from training.path_sampling.periods import Period, never_drawn, periods_of
from training.path_sampling.rules import (
    MAX_DRAWS,
    bin_edges,
    bin_of,
    cost_of,
    distance_to_range,
    draw_in_range,
)


def check_sampling(
    space: SearchSpace, config: PathSamplingConfig, rng: Random, epochs: int | None = None
) -> None:
    """Refuse a rule that cannot be followed in a training of `epochs` (None: not known).

    Raises:
        UserError: a space of one architecture, a schedule of unknown positions or choices, an
            unknown cost, or no architecture in the cost range in 1,000 draws.
    """
    space.check_searchable()
    periods = periods_of(space, config)
    if epochs is not None:
        for name, choices in never_drawn(space, periods, epochs).items():
            tell(
                f"note: supernet.sampling draws {', '.join(map(str, choices))} of '{name}' in none "
                f"of the {epochs} epochs; a search must not choose among untrained weights"
            )
    if config.rule in ("cost-range", "cost-bins"):
        if config.cost not in ANALYTIC:
            raise UserError(
                f"supernet.sampling.cost: no cost '{config.cost}'; costs are {', '.join(ANALYTIC)}"
            )
        for period in periods:
            _check_costs(period, config, rng)


def _check_costs(period: Period, config: PathSamplingConfig, rng: Random) -> None:
    since = f" from epoch {period.first_epoch} on" if period.first_epoch else ""
    none_of_many = f"none of {MAX_DRAWS} drawn architectures{since} has {config.cost}"
    empty: list[tuple[float, float]] = []
    if config.rule == "cost-range":
        architecture = draw_in_range(period.space, config, rng)
        value = cost_of(period.space, config, architecture)
        is_met = distance_to_range(config, value) == 0
    else:
        empty = _empty_bins(period.space, config, rng)
        is_met = len(empty) < len(bin_edges(config)) - 1
    if not is_met:
        raise UserError(
            f"supernet.sampling: {none_of_many} between {config.minimum:g} and {config.maximum:g}"
        )
    for low, high in empty:
        tell(
            f"note: supernet.sampling: {none_of_many} in the bin [{low:g}, {high:g}); a step that "
            f"picks it takes an architecture of any cost"
        )


def _empty_bins(
    space: SearchSpace, config: PathSamplingConfig, rng: Random
) -> list[tuple[float, float]]:
    """The bins that none of 1,000 draws lands in; fewer draws where all are met sooner."""
    edges = bin_edges(config)
    missing: set[int | None] = set(range(len(edges) - 1))
    for _ in range(MAX_DRAWS):
        missing.discard(bin_of(config, cost_of(space, config, space.sample(rng))))
        if not missing:
            break
    return [(edges[n], edges[n + 1]) for n in range(len(edges) - 1) if n in missing]

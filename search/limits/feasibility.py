"""What the limits leave of a space, before any work starts: extremes, quantiles, acceptance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from search.limits.descent import descend, is_separable
from search.limits.measure import Measure
from search.limits.sampling import ENUMERATED, all_architectures
from supernet.architecture import Architecture
from supernet.costs.limits import Limit, describe_limits, limits_from, violation, within
from supernet.files import UserError
from supernet.space import SearchSpace

PERCENTS = (5, 25, 30, 50, 75, 95)
STARTS = 4
"""Coordinate descents for each extreme: from the first choices, and from random draws."""

SEPARABLE_SAMPLES = 32
"""Draws on which a cost is tested for being a sum over positions."""

JOINT_STARTS = 4
"""Descents on the summed violation, from the nearest known and as many from random draws."""


@dataclass(frozen=True)
class CostRange:
    """One cost over a space: extreme architectures and quantiles of uniform draws, in its unit.

    `exact` says that the extremes are true: the cost is a sum over positions (as all tested draws
    say), or all architectures were listed. Otherwise they are the best that descent found.
    """

    cheapest: Architecture
    minimum: float
    dearest: Architecture
    maximum: float
    quantiles: Mapping[int, float]
    exact: bool


@dataclass(frozen=True)
class Feasibility:
    """The report on a space and its limits; `start` is an architecture that keeps them all.

    `acceptance` is the share (0-1) of `num_samples` uniform draws that keep every limit.
    """

    ranges: Mapping[str, CostRange]
    limits: Mapping[str, float]
    acceptance: float
    num_samples: int
    start: Architecture

    @property
    def constraints(self) -> tuple[Limit, ...]:
        """The limits as constraints."""
        return limits_from(self.limits)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for `feasibility.json`."""
        return {
            "costs": {
                name: {
                    "minimum": found.minimum,
                    "cheapest": dict(found.cheapest.choices),
                    "quantiles": {str(percent): q for percent, q in found.quantiles.items()},
                    "maximum": found.maximum,
                    "dearest": dict(found.dearest.choices),
                    "exact": found.exact,
                }
                for name, found in self.ranges.items()
            },
            "limits": dict(self.limits),
            "acceptance": self.acceptance,
            "samples": self.num_samples,
        }

    def table(self) -> str:
        """Text for people: a line a cost, then the limits and their acceptance rate."""
        heads = ["cost", "cheapest", *(f"{percent} %" for percent in PERCENTS), "dearest"]
        rows = [heads]
        for name, found in self.ranges.items():
            mark = "" if found.exact else "~"
            quantiles = (number(found.quantiles[percent]) for percent in PERCENTS)
            ends = (f"{mark}{number(found.minimum)}", f"{mark}{number(found.maximum)}")
            rows.append([name, ends[0], *quantiles, ends[1]])
        lines = aligned(rows)
        if not all(found.exact for found in self.ranges.values()):
            lines.append("~ an estimate: the cost is not a sum over positions")
        limits = ", ".join(f"{name} {number(limit)}" for name, limit in self.limits.items())
        share = f"{100 * self.acceptance:.3g} % of {self.num_samples:,} uniform draws"
        lines.append(f"limits: {limits}; kept by {share}" if limits else "limits: none")
        return "\n".join(lines)


def check_feasibility(
    space: SearchSpace,
    measure: Measure,
    limits: Mapping[str, float],
    num_samples: int,
    rng: Random,
) -> Feasibility:
    """Measure the space under `limits` (`{"max_ops": 3e6}`) with `num_samples` uniform draws.

    Raises:
        UserError: no architecture keeps the limits, as far as bounded descents can tell; names
            the cheapest (or dearest, or nearest) architecture and its cost.
    """
    constraints = limits_from(limits)
    draws = [space.sample(rng) for _ in range(num_samples)]
    costs = [measure(draw) for draw in draws]
    everything = list(all_architectures(space)) if space.size <= ENUMERATED else []
    ranges = {}
    for name in measure(space.first()):
        values = sorted(cost[name] for cost in costs)
        cheapest, dearest, exact = extremes(space, measure, name, rng, everything)
        ranges[name] = CostRange(
            cheapest=cheapest,
            minimum=measure(cheapest)[name],
            dearest=dearest,
            maximum=measure(dearest)[name],
            quantiles={p: values[min(p * num_samples // 100, num_samples - 1)] for p in PERCENTS},
            exact=exact,
        )
    for constraint in constraints:
        _check_alone(constraint, ranges[constraint.name])
    ends = [end for name in ranges for end in (ranges[name].cheapest, ranges[name].dearest)]
    start = _feasible_start(space, measure, constraints, [*ends, *draws, *everything], rng)
    return Feasibility(
        ranges=ranges,
        limits=dict(limits),
        acceptance=sum(within(constraints, cost) for cost in costs) / num_samples,
        num_samples=num_samples,
        start=start,
    )


def extremes(
    space: SearchSpace,
    measure: Measure,
    name: str,
    rng: Random,
    everything: Sequence[Architecture] = (),
) -> tuple[Architecture, Architecture, bool]:
    """The cheapest and dearest architecture in one cost, and whether they are true extremes.

    `everything` lists the whole space where it is small enough; otherwise coordinate descent
    from several starts searches, which is exact for costs that are sums over positions.
    """

    def cost(architecture: Architecture) -> float:
        return measure(architecture)[name]

    def negative(architecture: Architecture) -> float:
        return -measure(architecture)[name]

    if everything:
        return min(everything, key=cost), max(everything, key=cost), True
    starts = [space.first(), *(space.sample(rng) for _ in range(STARTS - 1))]
    cheapest = min((descend(space, cost, start) for start in starts), key=cost)
    dearest = max((descend(space, negative, start) for start in starts), key=cost)
    samples = [space.sample(rng) for _ in range(SEPARABLE_SAMPLES)]
    return cheapest, dearest, is_separable(space, cost, samples)


def _check_alone(constraint: Limit, found: CostRange) -> None:
    """Refuse a limit that the true extremes of its cost already rule out."""
    name, unit = constraint.name, constraint.unit
    if not found.exact:
        return
    if constraint.maximum is not None and constraint.maximum < found.minimum:
        raise UserError(
            f"max_{name} {constraint.maximum:,.10g}: no architecture is that cheap; the cheapest, "
            f"{found.cheapest}, has {found.minimum:,.10g} {unit}"
        )
    if constraint.minimum is not None and constraint.minimum > found.maximum:
        raise UserError(
            f"min_{name} {constraint.minimum:,.10g}: no architecture is that dear; the dearest, "
            f"{found.dearest}, has {found.maximum:,.10g} {unit}"
        )


def _feasible_start(
    space: SearchSpace,
    measure: Measure,
    constraints: Sequence[Limit],
    candidates: Sequence[Architecture],
    rng: Random,
) -> Architecture:
    """An architecture that keeps all limits: a known one, else by descent on the violation."""

    def broken(architecture: Architecture) -> float:
        return violation(constraints, measure(architecture))

    ranked = sorted(candidates, key=broken)
    if broken(ranked[0]) == 0:
        return ranked[0]
    nearest = ranked[0]
    for start in [*ranked[:JOINT_STARTS], *(space.sample(rng) for _ in range(JOINT_STARTS))]:
        end = descend(space, broken, start, pairs=True)
        if broken(end) == 0:
            return end
        nearest = min(nearest, end, key=broken)
    costs = measure(nearest)
    asked = describe_limits({name: end for c in constraints for name, end in c.ends.items()})
    has = ", ".join(f"{costs[c.name]:,.10g} {c.unit}" for c in constraints)
    raise UserError(f"no architecture found that keeps {asked}; the nearest, {nearest}, has {has}")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]


def number(value: float) -> str:
    """Counts without decimals; milliseconds with some."""
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"

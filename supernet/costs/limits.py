"""Limits on costs: a range that a cost must lie in, its violation, and how to say it.

Configs and files have limits by the names of their ends: `{"max_ops": 3.2e6, "min_bits": 1e5}`.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supernet.costs.table import COSTS, Cost
from supernet.files import UserError

CostsByName = Mapping[str, int | float]


@dataclass(frozen=True)
class Limit:
    """One cost and the range it must lie in, both ends included, in the cost's unit.

    Raises:
        ValueError: the minimum is above the maximum.
    """

    name: str
    unit: str
    maximum: float | None = None
    minimum: float | None = None

    def __post_init__(self) -> None:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_{self.name} {low:,.10g} is above max_{self.name} {high:,.10g}")

    @classmethod
    def on(cls, cost: Cost, named: Mapping[str, float]) -> Limit:
        """The limit on `cost` among those by name; without an end where it has none there."""
        maximum, minimum = named.get(f"max_{cost.name}"), named.get(f"min_{cost.name}")
        return cls(cost.name, cost.unit, maximum, minimum)

    @property
    def ends(self) -> dict[str, float]:
        """The ends that are set, by name."""
        ends = {f"max_{self.name}": self.maximum, f"min_{self.name}": self.minimum}
        return {name: end for name, end in ends.items() if end is not None}

    def measure(self, costs: CostsByName) -> float:
        """This limit's cost out of all measured costs."""
        return costs[self.name]

    def holds(self, costs: CostsByName) -> bool:
        """Whether the cost lies in the range."""
        return self.violation(costs) == 0

    def violation(self, costs: CostsByName) -> float:
        """How far outside the range the cost lies, in its unit; 0 inside."""
        value = self.measure(costs)
        over = value - self.maximum if self.maximum is not None else 0.0
        under = self.minimum - value if self.minimum is not None else 0.0
        return max(0.0, over, under)

    def relative_violation(self, costs: CostsByName) -> float:
        """The violation as a share of the end that is broken; 0 where none is."""
        amount = self.violation(costs)
        if amount == 0:
            return 0.0
        _, end = self.broken_end(costs)
        return amount / (abs(end) or 1.0)

    def broken_end(self, costs: CostsByName) -> tuple[str, float]:
        """Name and value of the end that is broken, where the limit does not hold."""
        if self.minimum is not None and self.measure(costs) < self.minimum:
            return f"min_{self.name}", self.minimum
        assert self.maximum is not None
        return f"max_{self.name}", self.maximum


Constraint = Limit
"""The name of a limit in a search, `search.Constraint`."""


def limit_names(costs: Iterable[str] = COSTS) -> tuple[str, ...]:
    """The names of all limits that there can be on these costs: `max_ops`, `min_ops`, ..."""
    return tuple(f"{end}_{name}" for name in costs for end in ("max", "min"))


def limits_from(named: Mapping[str, Any], where: str = "limits") -> tuple[Limit, ...]:
    """A limit for each cost that has one among those by name, in the order of the table of costs.

    Raises:
        UserError: an unknown name (names the nearest known), no finite number, or ends that exclude
            each other; names the limit and `where` it stands.
    """
    if not isinstance(named, Mapping):
        raise UserError(f"{where} is {named!r}: expected limits by name, such as max_ops: 3.2e6")
    for name, end in named.items():
        if name not in limit_names():
            nearest = difflib.get_close_matches(str(name), limit_names(), n=1, cutoff=0.0)[0]
            raise UserError(f"{where}: no limit '{name}'; did you mean '{nearest}'?")
        # bool is an int in Python; True must not pass for the number 1.
        is_number = isinstance(end, (int, float)) and not isinstance(end, bool)
        if not is_number or not abs(end) <= sys.float_info.max:
            raise UserError(f"{where}: {name} is {end!r}: expected a finite number")
    try:
        limits = [Limit.on(cost, named) for cost in COSTS.values()]
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    return tuple(limit for limit in limits if limit.ends)


def within(limits: Sequence[Limit], costs: CostsByName) -> bool:
    """Whether the costs keep every limit."""
    return all(limit.holds(costs) for limit in limits)


def violation(limits: Sequence[Limit], costs: CostsByName) -> float:
    """The sum of all relative violations; 0 exactly where every limit is kept."""
    return sum(limit.relative_violation(costs) for limit in limits)


def broken(limits: Sequence[Limit], costs: CostsByName) -> list[str]:
    """In words, each limit that the costs do not keep: `ops 10 is above max_ops 9.5`."""
    found = []
    for limit in limits:
        if not limit.holds(costs):
            name, end = limit.broken_end(costs)
            side = "above" if name.startswith("max_") else "below"
            found.append(f"{limit.name} {limit.measure(costs):,.10g} is {side} {name} {end:,.10g}")
    return found


def describe_limits(named: Mapping[str, float]) -> str:
    """Limits by name in words: `max_ops 3,200,000, min_bits 100,000`."""
    return ", ".join(f"{name} {end:,.10g}" for name, end in named.items()) or "no limits"

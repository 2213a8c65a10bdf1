"""Limits on costs by name, such as `max_ops`: their check, and who keeps them."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping
from typing import Any

from supernet.costs.count import COST_NAMES
from supernet.files import UserError

LATENCY = "latency_ms"
LIMITED = (*COST_NAMES, LATENCY)
"""Costs that can be limited: the analytic ones, and latency where there is a table of it."""

LIMIT_NAMES = tuple(f"{end}_{name}" for name in LIMITED for end in ("max", "min"))


def check_limits(limits: Mapping[str, Any], where: str = "limits") -> dict[str, float]:
    """The limits, once every name is known and every value a finite number.

    Raises:
        UserError: names the limit and `where` it stands; for an unknown name the nearest known.
    """
    if not isinstance(limits, Mapping):
        raise UserError(f"{where} is {limits!r}: expected limits by name, such as max_ops: 3.2e6")
    for name, limit in limits.items():
        if name not in LIMIT_NAMES:
            nearest = difflib.get_close_matches(str(name), LIMIT_NAMES, n=1, cutoff=0.0)[0]
            raise UserError(f"{where}: no limit '{name}'; did you mean '{nearest}'?")
        # bool is an int in Python; True must not pass for the number 1.
        is_number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if not is_number or not abs(limit) <= sys.float_info.max:
            raise UserError(f"{where}: {name} is {limit!r}: expected a finite number")
    for name in LIMITED:
        low, high = limits.get(f"min_{name}", -math.inf), limits.get(f"max_{name}", math.inf)
        if low > high:
            raise UserError(f"{where}: min_{name} {low:,.10g} is above max_{name} {high:,.10g}")
    return dict(limits)


def broken(costs: Mapping[str, int | float], limits: Mapping[str, float]) -> list[str]:
    """In words, each limit that the costs do not keep; `limits` as `check_limits` returns them."""
    found = []
    for name, limit in limits.items():
        end, _, of = name.partition("_")
        value = costs[of]
        if value > limit if end == "max" else value < limit:
            side = "above" if end == "max" else "below"
            found.append(f"{of} {value:,.10g} is {side} {name} {limit:,.10g}")
    return found


def within(costs: Mapping[str, int | float], limits: Mapping[str, float]) -> bool:
    """Whether the costs keep every limit; `limits` as `check_limits` returns them."""
    return not broken(costs, limits)


def describe_limits(limits: Mapping[str, float]) -> str:
    """The limits in words: `max_ops 3,200,000, min_bits 100,000`."""
    return ", ".join(f"{name} {limit:,.10g}" for name, limit in limits.items()) or "no limits"

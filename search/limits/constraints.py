"""Constraints: hard limits on costs, and by how much a candidate breaks them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from supernet.files import UserError

UNITS = {
    "ops": "operations",
    "flops": "multiply-adds",
    "bops": "binary multiply-adds",
    "bitops": "bit operations",
    "parameters": "parameters",
    "bits": "bits",
    "latency_ms": "milliseconds",
}
"""The costs that can be limited, with their units; latency needs a table."""

Limit = FiniteFloat | None


class Limits(BaseModel):
    """Limits as they stand in a config; None is no limit. Numbers like 3.2e6 are accepted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_ops: Limit = Field(default=None, ge=0)
    max_flops: Limit = Field(default=None, ge=0)
    max_bops: Limit = Field(default=None, ge=0)
    max_bitops: Limit = Field(default=None, ge=0)
    max_parameters: Limit = Field(default=None, ge=0)
    max_bits: Limit = Field(default=None, ge=0)
    min_ops: Limit = Field(default=None, ge=0)
    min_flops: Limit = Field(default=None, ge=0)
    min_bops: Limit = Field(default=None, ge=0)
    min_bitops: Limit = Field(default=None, ge=0)
    min_parameters: Limit = Field(default=None, ge=0)
    min_bits: Limit = Field(default=None, ge=0)
    max_latency_ms: Limit = Field(default=None, ge=0)
    min_latency_ms: Limit = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        for name in UNITS:
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{name} {low:g} is above max_{name} {high:g}")
        return self

    def limits(self) -> dict[str, float]:
        """The limits that are set, by field name (`max_ops`)."""
        fields = (f"{end}_{name}" for name in UNITS for end in ("max", "min"))
        return {name: getattr(self, name) for name in fields if getattr(self, name) is not None}


@dataclass(frozen=True)
class Constraint:
    """One cost and the range it must lie in, both ends included, in the cost's unit."""

    name: str
    unit: str
    maximum: float | None = None
    minimum: float | None = None

    def measure(self, costs: Mapping[str, int | float]) -> float:
        """This constraint's cost out of all measured costs."""
        return costs[self.name]

    def violation(self, costs: Mapping[str, int | float]) -> float:
        """How far outside the range the cost lies, in its unit; 0 inside."""
        value = self.measure(costs)
        over = value - self.maximum if self.maximum is not None else 0.0
        under = self.minimum - value if self.minimum is not None else 0.0
        return max(0.0, over, under)

    def relative_violation(self, costs: Mapping[str, int | float]) -> float:
        """The violation as a share of the limit that is broken; 0 where none is."""
        amount = self.violation(costs)
        if amount == 0:
            return 0.0
        broken = self.maximum if self.maximum is not None else self.minimum
        if self.minimum is not None and self.measure(costs) < self.minimum:
            broken = self.minimum
        return amount / (abs(broken) if broken else 1.0)


def constraints_from(
    limits: Mapping[str, float], units: Mapping[str, str] = UNITS
) -> tuple[Constraint, ...]:
    """Constraints from limits by field name, `{"max_ops": 3.2e6, "min_bits": 1e5}`.

    Raises:
        UserError: a name is neither max_ nor min_ of a known cost.
    """
    ends: dict[str, dict[str, float]] = {}
    for field, limit in limits.items():
        end, _, name = field.partition("_")
        if end not in ("max", "min") or name not in units:
            known = ", ".join(f"max_{known}" for known in units)
            raise UserError(f"no limit '{field}'; limits are {known} and their min_")
        ends.setdefault(name, {})["maximum" if end == "max" else "minimum"] = limit
    return tuple(Constraint(name, units[name], **ends[name]) for name in units if name in ends)


def violation(constraints: Sequence[Constraint], costs: Mapping[str, int | float]) -> float:
    """The sum of all relative violations; 0 exactly where every limit is kept."""
    return sum(constraint.relative_violation(costs) for constraint in constraints)


def is_feasible(constraints: Sequence[Constraint], costs: Mapping[str, int | float]) -> bool:
    """Whether every limit is kept."""
    return all(constraint.violation(costs) == 0 for constraint in constraints)

"""The limits of a search as fields of its config: `max_` and `min_` of every cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, FiniteFloat, create_model, model_validator

from supernet.costs.limits import Limit, limit_names
from supernet.costs.table import COSTS
from training.bounds import MAX_FLOAT
from training.section import Section


class LimitsBase(Section):
    """Limits as they stand in a config; None is no limit. Numbers like 3.2e6 are accepted."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        limits = self.limits()
        for cost in COSTS.values():
            Limit.on(cost, limits)  # a ValueError where its ends exclude each other
        return self

    def limits(self) -> dict[str, float]:
        """The limits that are set, by field name (`max_ops`)."""
        ends = {name: getattr(self, name) for name in limit_names()}
        return {name: end for name, end in ends.items() if end is not None}


def _fields() -> dict[str, Any]:
    """The highest of each counted cost, the lowest, and then those of the measured ones."""
    names = [
        f"{end}_{name}"
        for measured in (False, True)
        for end in ("max", "min")
        for name, cost in COSTS.items()
        if cost.is_measured == measured
    ]
    return {name: (FiniteFloat | None, Field(default=None, ge=0, le=MAX_FLOAT)) for name in names}


if TYPE_CHECKING:
    Limits = LimitsBase
else:
    Limits = create_model("Limits", __base__=LimitsBase, __module__=__name__, **_fields())

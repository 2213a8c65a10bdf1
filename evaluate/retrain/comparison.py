"""Which networks a retraining compares: finalists, each with the baselines of its own limits.

Networks that the user names stand beside the baselines of every set of limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluate.retrain.baselines import (
    CostsOf,
    analytic_costs,
    fitting_uniform,
    random_baselines,
    uniform_baselines,
)
from supernet.architecture import Architecture
from supernet.costs.limits import broken, describe_limits, limits_from
from supernet.files import UserError
from supernet.space import SearchSpace


@dataclass(frozen=True)
class Role:
    """What a network is in the comparison; `kind` is finalist, uniform, given or random.

    `limits` is the number of its set of limits in `Comparison.limit_sets`.
    """

    name: str
    kind: str
    limits: int


@dataclass(frozen=True)
class Entry:
    """One network to train; a finalist that is also a baseline has several roles."""

    architecture: Architecture
    roles: tuple[Role, ...]

    @property
    def name(self) -> str:
        """The name of its first role."""
        return self.roles[0].name

    @property
    def kind(self) -> str:
        """The kind of its first role."""
        return self.roles[0].kind


@dataclass(frozen=True)
class LimitSet:
    """The limits of some finalists; `num_uniform`: how many uniform architectures keep them."""

    limits: dict[str, float]
    num_uniform: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {"limits": self.limits, "num_uniform": self.num_uniform}


@dataclass(frozen=True)
class Comparison:
    """Every network once, finalists first, and the sets of limits that their roles count.

    `costs_of` gives the costs that the limits are on.
    """

    entries: tuple[Entry, ...]
    limit_sets: tuple[LimitSet, ...]
    costs_of: CostsOf = analytic_costs

    def warnings(self, space: SearchSpace) -> list[str]:
        """In words, the networks of the user that break the limits they are compared under."""
        return [
            f"{role.name} is outside its limits: {'; '.join(problems)}"
            for entry in self.entries
            for role in entry.roles
            if role.kind in ("finalist", "given")
            and (
                problems := broken(
                    limits_from(self.limit_sets[role.limits].limits),
                    self.costs_of(space.decode(entry.architecture)),
                )
            )
        ]


def compare(
    space: SearchSpace,
    finalists: Sequence[tuple[Architecture, Mapping[str, float]]],
    *,
    uniform: int,
    random: int,
    seed: int,
    given: Mapping[str, Architecture] | None = None,
    limits: Mapping[str, float] | None = None,
    costs_of: CostsOf = analytic_costs,
) -> Comparison:
    """Finalists, each with its limits, then for each distinct set of limits its baselines.

    `limits` replace those of every finalist. Where sets of limits differ, names end in them.
    `given` are networks by name, compared under every set. A space of one architecture has no
    baselines; its finalist is named after the network.

    Raises:
        UserError: too few architectures keep a set of limits, or two networks have one name.
    """
    own = [dict(limits if limits is not None else of_one) for _, of_one in finalists]
    # Without finalists, baselines alone: a comparison under one set of limits.
    distinct = _distinct(own or [dict(limits or {})])
    to_keep = [limits_from(one) for one in distinct]
    roles: dict[Architecture, list[Role]] = {}

    def add(architecture: Architecture, name: str, kind: str, number: int) -> None:
        label = f" ({describe_limits(distinct[number])})" if len(distinct) > 1 else ""
        roles.setdefault(architecture, []).append(Role(name + label, kind, number))

    for n, ((architecture, _), of_one) in enumerate(zip(finalists, own, strict=True), start=1):
        if space.size == 1:
            name = space.decode(architecture).name
        else:
            name = "finalist" if len(finalists) == 1 else f"finalist {n}"
        add(architecture, name, "finalist", distinct.index(of_one))
    for number, one in enumerate(to_keep if space.size > 1 else []):
        for name, architecture in uniform_baselines(space, one, uniform, costs_of).items():
            add(architecture, name, "uniform", number)
        for name, architecture in (given or {}).items():
            add(architecture, name, "given", number)
        for name, architecture in random_baselines(space, one, random, seed, costs_of).items():
            add(architecture, name, "random", number)
    _check_names(roles)
    return Comparison(
        tuple(Entry(architecture, tuple(of_one)) for architecture, of_one in roles.items()),
        tuple(
            LimitSet(one, len(fitting_uniform(space, kept, costs_of)))
            for one, kept in zip(distinct, to_keep, strict=True)
        ),
        costs_of,
    )


def _check_names(roles: Mapping[Architecture, Sequence[Role]]) -> None:
    """Demand that no two networks have one name; a given one may have any."""
    owners: dict[str, Architecture] = {}
    for architecture, of_one in roles.items():
        for name in {role.name for role in of_one}:
            if owners.setdefault(name, architecture) != architecture:
                raise UserError(
                    f"two networks of the comparison are named '{name}': expected another name of "
                    f"the given one (its file's, or provenance.design in it)"
                )


def _distinct(sets: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    for one in sets:
        if one not in found:
            found.append(one)
    return found

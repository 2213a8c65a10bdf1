"""Architectures that a search starts with: read from files, and refused before any work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from search.limits.measure import Measure
from supernet.architecture import Architecture
from supernet.architecture_file import load_architecture
from supernet.costs.limits import Limit
from supernet.files import UserError
from supernet.space import SearchSpace


def load_given(
    files: Iterable[Path],
    space: SearchSpace,
    measure: Measure,
    constraints: Sequence[Limit],
) -> tuple[Architecture, ...]:
    """The architectures in `files`, in their order.

    Raises:
        UserError: a file is no architecture of `space`, holds the same one as an earlier file, or
            one that breaks a limit; names the file.
    """
    given: dict[Architecture, Path] = {}
    for path in files:
        _, architecture, _ = load_architecture(path, expected_space=space)
        if architecture in given:
            raise UserError(
                f"search.start_with, {path}: {architecture} is also in {given[architecture]}"
            )
        costs = measure(architecture)
        for constraint in constraints:
            if not constraint.holds(costs):
                raise UserError(f"search.start_with, {path}: {_breach(constraint, costs)}")
        given[architecture] = path
    return tuple(given)


def _breach(constraint: Limit, costs: Mapping[str, int | float]) -> str:
    """How `costs` break the constraint."""
    name, end = constraint.broken_end(costs)
    value = constraint.measure(costs)
    return f"has {value:,.10g} {constraint.unit}, which breaks {name} {end:,.10g}"

"""A table of known accuracies: every architecture of a space with its scores and its costs.

A search against it takes seconds, so that searchers can be compared over many seeds. One training
of each network is what the search sees, the mean of the others is the truth it is judged by.
File: docs/formats.md.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from search.limits.sampling import all_architectures
from supernet.architecture import Architecture
from supernet.costs.limits import Limit, within
from supernet.files import UserError, as_written, check_header, read_json, write_json
from supernet.files.plain_data import is_number
from supernet.space import Position, SearchSpace
from supernet.spec import NetworkSpec

FORMAT = "evobit/score-table"
VERSION = 1
FIELDS = ("format", "version", "name", "positions", "networks")


@dataclass(frozen=True)
class TableSpace(SearchSpace):
    """The positions of a table: choices alone, of which no network can be built."""

    name: ClassVar[str] = "table"
    table: str
    positions: tuple[Position, ...] = ()

    def describe(self) -> dict[str, Any]:
        """Name and table; the positions are in the table's file."""
        return {"name": self.name, "table": self.table}

    def decode(self, architecture: Architecture) -> NetworkSpec:
        """Not to be called: who counts costs or builds networks needs the space itself."""
        raise TypeError(f"table '{self.table}' has scores and costs of networks, no networks")

    def canonical(
        self, architecture: Architecture, among: Sequence[Position] | None = None
    ) -> Architecture:
        """The architecture itself: nobody knows of two that are one network."""
        return architecture


class Row(NamedTuple):
    """One network: top-1 in percent of each of its trainings, and its costs by name."""

    top1: tuple[float, ...]
    costs: Mapping[str, int | float]


@dataclass(frozen=True)
class KnownTable:
    """`rows` holds every architecture of `space`, all with as many scores and the same costs."""

    space: TableSpace
    rows: Mapping[Architecture, Row]

    @property
    def num_seeds(self) -> int:
        """Trainings of each network."""
        return len(next(iter(self.rows.values())).top1)

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The costs that every network has."""
        return tuple(next(iter(self.rows.values())).costs)

    def costs(self, architecture: Architecture) -> Mapping[str, int | float]:
        """The costs of one architecture: a search's `Measure`."""
        return self.rows[architecture].costs

    def seen(self, architecture: Architecture, training: int) -> float:
        """Top-1 in percent of this one of the trainings: what a search is told."""
        return self.rows[architecture].top1[training]

    def truth(self, architecture: Architecture, training: int) -> float:
        """Mean top-1 in percent of all trainings but this one; of a single one, that one."""
        top1 = self.rows[architecture].top1
        others = top1[:training] + top1[training + 1 :]
        return statistics.fmean(others or top1)

    def best_truth(self, training: int, limits: Sequence[Limit] = ()) -> float:
        """The highest `truth` of all that keep the limits; at least one must."""
        kept = (one for one, row in self.rows.items() if within(limits, row.costs))
        return max(self.truth(one, training) for one in kept)

    def check_space(self, space: SearchSpace) -> None:
        """Demand that `space` has the table's positions and choices.

        Raises:
            UserError: names the first position in which they differ.
        """
        ours = {one.name: one.choices for one in self.space.positions}
        theirs = {one.name: one.choices for one in space.positions}
        for name in {**ours, **theirs}:
            if ours.get(name) != theirs.get(name):
                raise UserError(
                    f"table '{self.space.table}' is of another space than '{space.name}': position "
                    f"'{name}' has {_choices(ours.get(name))}, not {_choices(theirs.get(name))}"
                )


def _choices(choices: Iterable[Any] | None) -> str:
    return "no choices" if choices is None else f"choices {', '.join(map(str, choices))}"


def save_table(path: str | Path, table: KnownTable) -> None:
    """Write a table's file."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "name": table.space.table,
        "positions": {one.name: list(one.choices) for one in table.space.positions},
        "networks": [
            {"choices": dict(one.choices), "top1": list(row.top1), "costs": dict(row.costs)}
            for one, row in table.rows.items()
        ],
    }
    write_json(path, document)


def load_table(path: str | Path) -> KnownTable:
    """Read a table's file.

    Raises:
        UserError: unreadable, of another format or version; an architecture that is missing, comes
            twice or is none of the positions' choices; a score that is no number from 0 to 100, a
            cost that is no finite number, or a network with other costs or more or fewer scores
            than the first.
    """
    document = read_json(path, what="table")
    document = check_header(document, path, format=FORMAT, version=VERSION, what="a table")
    with as_written(path):
        if set(document) != set(FIELDS):
            odd = ", ".join(sorted(set(document) ^ set(FIELDS)))
            raise UserError(f"expected the fields {', '.join(FIELDS)}; missing or unknown: {odd}")
        if not document["positions"]:
            raise UserError("positions is {}: expected the choices of one or more")
        positions = tuple(starmap(_position, document["positions"].items()))
        space = TableSpace(str(document["name"]), positions)
        rows: dict[Architecture, Row] = {}
        for number, network in enumerate(document["networks"]):
            where = f"networks.{number}"
            try:
                architecture = space.architecture(network["choices"])
            except UserError as error:
                raise UserError(f"{where}: {error}") from error
            if architecture in rows:
                raise UserError(f"{where}: {architecture} stands twice")
            rows[architecture] = _row(network, where)
        table = KnownTable(space, rows)
        _check_whole(table)
    return table


def _position(name: str, choices: Sequence[Any]) -> Position:
    if not choices or not all(isinstance(one, str) or is_number(one) for one in choices):
        raise UserError(f"positions.{name} is {choices!r:.80}: expected a list of numbers or texts")
    if len(set(choices)) < len(choices):
        raise UserError(f"positions.{name}: a choice stands twice")
    return Position(name, tuple(choices))


def _row(network: Mapping[str, Any], where: str) -> Row:
    top1, costs = network["top1"], network["costs"]
    for score in top1:
        if not is_number(score) or not 0 <= score <= 100:
            raise UserError(f"{where}: top1 holds {score!r}: expected percent, from 0 to 100")
    for name, value in costs.items():
        if not is_number(value):
            raise UserError(f"{where}: costs.{name} is {value!r}: expected a finite number")
    return Row(tuple(map(float, top1)), dict(costs))


def _check_whole(table: KnownTable) -> None:
    """Demand every architecture, and of each what the first one has.

    Raises:
        UserError: names the first that is missing or has other costs or another number of scores.
    """
    rows, space = table.rows, table.space
    if len(rows) < space.size:
        missing = next(one for one in all_architectures(space) if one not in rows)
        raise UserError(
            f"has {len(rows):,} of the {space.size:,} architectures of its positions; "
            f"the first that is missing: {dict(missing.choices)}"
        )
    num_seeds, names = table.num_seeds, set(table.cost_names)
    if num_seeds == 0:
        raise UserError("networks.0: top1 is empty: expected a score of each training")
    for number, (architecture, row) in enumerate(rows.items()):
        if len(row.top1) != num_seeds or set(row.costs) != names:
            raise UserError(
                f"networks.{number}: {architecture} has {len(row.top1)} scores and the costs "
                f"{', '.join(row.costs)}, the first one {num_seeds} and {', '.join(names)}"
            )

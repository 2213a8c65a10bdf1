"""An architecture: one choice for every position of a search space, immutable, with a stable id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.files import UserError, check_header, read_json, write_json

if TYPE_CHECKING:
    from supernet.space import SearchSpace

Choice = int | float | str
"""The value taken at one position, as it stands in JSON (groups: 4)."""

FORMAT = "evobit/architecture"
VERSION = 1


@dataclass(frozen=True)
class Architecture(Mapping[str, Choice]):
    """One full assignment of choices: a read-only mapping from position name to choice.

    The order is that of the space's positions; `SearchSpace.architecture` makes and checks one.
    """

    choices: tuple[tuple[str, Choice], ...]

    def __getitem__(self, position: str) -> Choice:
        return self._by_name[position]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.choices)

    def __hash__(self) -> int:
        return hash(self.choices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self.choices == other.choices

    @cached_property
    def _by_name(self) -> dict[str, Choice]:
        return dict(self.choices)

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the choices' canonical JSON."""
        text = json.dumps(self.choices, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return ",".join(str(choice) for _, choice in self.choices)


def save_architecture(
    path: str | Path,
    space: SearchSpace,
    architecture: Architecture,
    *,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write an architecture file (docs/formats.md): space, choices, costs, provenance."""
    from supernet.costs import cost

    document = {
        "format": FORMAT,
        "version": VERSION,
        "space": space.describe(),
        "choices": dict(architecture.choices),
        "costs": cost(space.decode(architecture)).as_dict(),
        "provenance": dict(provenance or {}),
    }
    write_json(path, document)


def load_architecture(
    path: str | Path, *, expected_space: SearchSpace | None = None
) -> tuple[SearchSpace, Architecture, dict[str, Any]]:
    """Read an architecture file: its space, the architecture, and the whole document.

    Raises:
        UserError: truncated, another version, choices that do not fit the space, or a space other
            than `expected_space`.
    """
    from supernet.spaces import space_from_description

    document = check_header(
        read_json(path, what="architecture file"), path, format=FORMAT, version=VERSION
    )
    for field in ("space", "choices"):
        if not isinstance(document.get(field), dict):
            raise UserError(f"{path}: field '{field}' is missing or not an object")
    try:
        space = space_from_description(document["space"])
        architecture = space.architecture(document["choices"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if expected_space is not None and space.describe() != expected_space.describe():
        raise UserError(
            f"{path}: belongs to another search space: "
            f"{describe_difference(space.describe(), expected_space.describe())}"
        )
    return space, architecture, document


def describe_difference(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """The entries in which two flat descriptions differ, as `name: found (expected ...)`."""
    names = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    return "; ".join(f"{name} is {found.get(name)!r}, not {expected.get(name)!r}" for name in names)

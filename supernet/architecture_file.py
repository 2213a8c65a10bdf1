"""Architecture files: JSON that holds everything needed to rebuild a network, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supernet.architecture import Architecture
from supernet.costs import cost
from supernet.files import UserError, check_header, read_json, write_json
from supernet.space import SearchSpace
from supernet.spaces import space_from_description

FORMAT = "evobit/architecture"
VERSION = 1


def save_architecture(
    path: str | Path,
    space: SearchSpace,
    architecture: Architecture,
    *,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write an architecture file (docs/formats.md): space, choices, costs, provenance."""
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

    No code is run for what the file names: its space is a registered one, the `expected_space`,
    or a user's own that the caller's config has named before.

    Raises:
        UserError: truncated, another version, choices that do not fit the space, a space other
            than `expected_space`, or a space of its own.
    """
    document = check_header(
        read_json(path, what="architecture file"), path, format=FORMAT, version=VERSION
    )
    for field in ("space", "choices"):
        if not isinstance(document.get(field), dict):
            raise UserError(f"{path}: field '{field}' is missing or not an object")
    try:
        known = None if expected_space is None else type(expected_space)
        space = space_from_description(document["space"], trusted=False, known=known)
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

"""An architecture: one choice for every position of a search space, immutable, with a stable id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

Choice = int | float | str
"""The value taken at one position, as it stands in JSON (groups: 4)."""


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

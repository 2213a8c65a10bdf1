"""Plain data: a value as JSON has it, and nested settings by dotted name."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def plain(value: Any, *, finite: bool = False) -> Any:
    """`value` as JSON has it: tuples as lists, paths as text; `finite`: nan and inf as null."""
    text = json.dumps(value, default=_mapping_or_text)
    return json.loads(text, parse_constant=(lambda _: None) if finite else None)


def _mapping_or_text(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def flatten(value: Any, prefix: str = "", *, numbered_from: int | None = 0) -> dict[str, Any]:
    """Nested mappings as dotted names, empty ones left out; lists of mappings by number.

    `numbered_from`: the first one's number; None leaves lists whole.
    """
    is_list = isinstance(value, (list, tuple)) and len(value) > 0
    if numbered_from is not None and is_list and all(isinstance(one, Mapping) for one in value):
        value = dict(enumerate(value, start=numbered_from))
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        dotted = f"{prefix}.{name}" if prefix else str(name)
        flat |= flatten(inner, dotted, numbered_from=numbered_from)
    return flat


def is_number(value: Any) -> bool:
    """Whether a value out of JSON is a finite number; true is none."""
    # A whole number may be too large for a float, as 10**400 is.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max

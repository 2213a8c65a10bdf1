"""What a refused value should have been, in words: of the checks that pydantic makes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

LONGEST_VALUE = 80
"""Characters of a value that are shown."""

_KINDS = {
    "a whole number": ("int_type", "int_parsing", "int_from_float"),
    "a number": ("float_type", "float_parsing", "decimal_type", "decimal_parsing"),
    "a number that is finite": ("finite_number",),
    "a number of fewer digits": ("int_parsing_size",),
    "true or false": ("bool_type", "bool_parsing"),
    "text": ("string_type", "string_sub_type", "string_unicode", "enum"),
    "a path": ("path_type",),
    "a list": ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"),
    "names with values, as in {name: value}": (
        *("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
        "dataclass_exact_type",
    ),
    "nothing (null)": ("none_required",),
    "a value": ("missing", "missing_argument", "missing_keyword_only_argument"),
    "no such name": ("extra_forbidden", "unexpected_keyword_argument"),
}
_WORDS = {kind: words for words, kinds in _KINDS.items() for kind in kinds}

_WITH_BOUND = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}


def expected(detail: ErrorDetails) -> str:
    """What one of pydantic's errors asks for: `expected a whole number`; a validator's own text."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return re.sub(r"^(Value|Assertion) error, ", "", detail["msg"])
    if kind in _WITH_BOUND and detail["input"] in (math.inf, -math.inf):
        return "expected a number that is finite"
    if kind in _WITH_BOUND:
        return "expected " + _WITH_BOUND[kind].format_map(_plain(context))
    if kind in _WORDS:
        return "expected " + _WORDS[kind]
    return re.sub(r"^Input should be ", "expected ", detail["msg"])


def _plain(context: Mapping[str, Any]) -> dict[str, Any]:
    """Whole bounds without a point, and large ones short: `at least 0`, `at most 1e+38`."""
    return {
        name: f"{value:.15g}" if isinstance(value, float) else value
        for name, value in context.items()
    }


def shown(value: object) -> str:
    """A value as it was given, not too long."""
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."


def first_mistake(error: ValidationError, named: str = "") -> str:
    """The first of the errors in a line: `named.field is 'x': expected a whole number`."""
    details = error.errors(include_url=False)
    dotted = ".".join([*([named] if named else []), *field_of(details[0])])
    return f"{dotted} is {shown(details[0]['input'])}: {expected_of_all(details)}"


def field_of(detail: ErrorDetails) -> list[str]:
    """Names and numbers that lead to a value, without pydantic's words for a union's members."""
    return [str(part) for part in detail["loc"] if isinstance(part, int) or _is_name(part)]


def _is_name(part: str) -> bool:
    return part.isidentifier() and part not in ("bool", "float", "int", "none", "str")


def expected_of_all(details: Sequence[ErrorDetails]) -> str:
    """What the first error asks for, and the others of the same value: members of a union."""
    field = field_of(details[0])
    found = dict.fromkeys(expected(one) for one in details if field_of(one) == field)
    first, *others = found
    return " or ".join([first, *(one.removeprefix("expected ") for one in others)])

"""A plan as JSON-able data, a line of text an operation; the form is in docs/formats.md."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from deploy.plan.plan import Operation, Plan
from supernet.files import UserError

_FIELDS = fields(Operation)
_TEXTS = ("name", "kind", "activation")
_NUM_NEEDED = 4  # name, kind, source, channels: no defaults
_MAX_DIGITS = 18  # more are out of every range anyway


def describe_plan(plan: Plan) -> dict[str, Any]:
    """JSON-able: each operation as one line of text, its fields in order between spaces.

    Trailing defaults are left out, None is "-", true and false are 1 and 0. (As JSON lists
    these lines would be a fifth longer, and a small network's file is small.)
    """
    lines = [_line(operation) for operation in plan.operations]
    return {"channels": plan.channels, "size": plan.size, "operations": lines}


def plan_from_description(document: Any) -> Plan:
    """Inverse of `describe_plan`.

    Raises:
        UserError: anything that is not a plan this program can run, naming the operation.
    """
    if not isinstance(document, dict):
        raise UserError("has no plan")
    lines = document.get("operations")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise UserError("the plan has no operations, a list of lines")
    operations = tuple(_operation(line) for line in lines)
    return Plan(document.get("channels"), document.get("size"), operations)  # type: ignore[arg-type]


def _line(operation: Operation) -> str:
    values = [getattr(operation, field.name) for field in _FIELDS]
    while values[-1] == _FIELDS[len(values) - 1].default:
        values.pop()
    values = [int(value) if isinstance(value, bool) else value for value in values]
    return " ".join("-" if value is None else str(value) for value in values)


def _operation(line: str) -> Operation:
    words = line.split(" ")
    if not _NUM_NEEDED <= len(words) <= len(_FIELDS):
        raise UserError(f"line {line!r} of the plan: expected 4 to {len(_FIELDS)} words")
    values: dict[str, Any] = {}
    for field, word in zip(_FIELDS, words, strict=False):
        if field.name in _TEXTS:
            values[field.name] = word
        elif field.name == "add" and word == "-":
            values[field.name] = None
        elif word.removeprefix("-").isascii() and word.removeprefix("-").isdigit():
            values[field.name] = int(word[:_MAX_DIGITS])
        else:
            raise UserError(f"line {line!r} of the plan: {field.name} is {word!r}, no number")
    if "thresholds" in values:
        values["thresholds"] = {0: False, 1: True}.get(values["thresholds"], values["thresholds"])
    return Operation(**values)

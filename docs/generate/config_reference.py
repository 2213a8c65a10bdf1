"""The reference page of configs: every field with its type, default and description.

A description is the field's own, or what the docstring of its class says behind "`name`: ".
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

HEAD = """# Configs

Made from the code at each build of this site. A config is YAML with the sections below. Each stage
reads its own and ignores the others; an unknown field is refused, and the nearest one named.
`--set search.population=20` overrides any field. JSON Schemas, for editors and programs:
[a whole config](../schemas/config.schema.json), and what a stage resolves it to:
[supernet](../schemas/config-supernet.schema.json), [search](../schemas/config-search.schema.json),
[pretrain](../schemas/config-pretrain.schema.json),
[retrain](../schemas/config-retrain.schema.json), [audit](../schemas/config-audit.schema.json).

`seed` (a whole number, default 0) stands beside the sections; all random decisions come from it.
"""

MORE = {
    "data": "Which images, and how they are split ([tutorial](../tutorial.md)).",
    "supernet": "[How networks are trained](../training.md).",
    "search": "[How a search runs](../search.md), [how candidates are scored](../scoring.md).",
    "pretrain": "[Pre-training without labels](../training.md#pre-training-without-labels).",
    "finals": "[The finals between search and retraining](../finals.md).",
    "retrain": "[How networks are trained](../training.md).",
    "audit": "[The ranking audit](../audit.md).",
}


def page() -> str:
    """The page as Markdown: a section a section, a subsection a model inside it."""
    from evaluate.audit.config import AuditConfig
    from evaluate.finals.config import FinalsConfig
    from evaluate.retrain.config import RetrainConfig
    from search.config import SearchConfig
    from training.data.config import DataConfig
    from training.pretraining.config import PretrainConfig
    from training.supernet_stage import SupernetConfig

    sections: dict[str, type[BaseModel]] = {
        "data": DataConfig,
        "supernet": SupernetConfig,
        "search": SearchConfig,
        "pretrain": PretrainConfig,
        "finals": FinalsConfig,
        "retrain": RetrainConfig,
        "audit": AuditConfig,
    }
    shown: set[type[BaseModel]] = set(sections.values())
    parts = [HEAD, _spaces()]
    for name, model in sections.items():
        parts.append(f"## {name}\n\n{MORE[name]}\n\n{_section(model)}")
        for inner in _inside(model, shown):
            parts.append(f"### {inner.__name__}\n\n{_section(inner)}")
    return "\n".join(parts)


def _section(model: type[BaseModel]) -> str:
    """What a model is, and its fields."""
    about, described = _docstrings(model, model.model_fields)
    rows = []
    for name, field in model.model_fields.items():
        text = field.description or described.get(name, _limit(name))
        bounds = ", ".join(filter(None, map(_bound, field.metadata)))
        kind = _type(field.annotation) + (f", {bounds}" if bounds else "")
        rows.append(f"| `{name}` | {kind} | {_default(field)} | {_cell(text)} |")
    return "\n".join([about, "", "| field | type | default | |", "|---|---|---|---|", *rows, ""])


def _spaces() -> str:
    """The options of the registered search spaces."""
    from supernet.spaces import SPACES, space_class

    lines = [
        "## space",
        "",
        "`name`, and the options of the space of that name ([what they search](../spaces.md)), or",
        "a space of your own, `file.py:Class` or `module:Class` ([how](../own_space.md)).",
        "",
    ]
    for name in SPACES:
        found = space_class(name)
        options = dataclasses.fields(found)  # type: ignore[arg-type]
        about, described = _docstrings(found, [option.name for option in options])
        types = get_type_hints(found)
        lines += [
            f"### {name}",
            "",
            about,
            "",
            "| option | type | default | |",
            "|---|---|---|---|",
        ]
        for field in options:
            default = field.default
            if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            shown = "required" if default is dataclasses.MISSING else _value(default)
            text = _cell(described.get(field.name, ""))
            lines.append(f"| `{field.name}` | {_type(types[field.name])} | {shown} | {text} |")
        lines.append("")
    return "\n".join(lines)


def _inside(model: type[BaseModel], shown: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    """The models of the fields of `model`, each once on the page, those inside them after them."""
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            if inner not in shown:
                shown.add(inner)
                yield inner
                yield from _inside(inner, shown)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _docstrings(model: type, names: Iterable[str]) -> tuple[str, dict[str, str]]:
    """What the docstring of a class says of it all, and what of each field.

    A sentence that begins with the names of fields is theirs, and so is what follows it, up to the
    next such sentence or the paragraph's end.
    """
    field = f"`(?:{'|'.join(names)})`"
    begins = re.compile(rf"(?:^|(?<=[.;] ))({field}(?:(?:,| and) {field})*)")
    described: dict[str, str] = {}
    about: list[str] = []
    for one in reversed(model.__mro__):
        if one.__module__.partition(".")[0] in ("builtins", "abc", "pydantic"):
            continue
        about = []
        for paragraph in inspect.cleandoc(one.__doc__ or "").split("\n\n"):
            first, *pieces = begins.split(" ".join(paragraph.split()))
            about += [first.strip()] if first.strip() else []
            for names, text in zip(pieces[::2], pieces[1::2], strict=True):
                plain = re.match(r"(?: [A-Z])?: (.*)", text)
                said = (plain[1] if plain else names + text).strip().rstrip(";")
                described |= dict.fromkeys(re.findall(r"`(\w+)`", names), said)
        described |= _attribute_docstrings(one)
    return "\n\n".join(about), described


def _attribute_docstrings(model: type) -> dict[str, str]:
    """The strings that stand below fields."""
    try:
        source = inspect.getsource(model)
    except OSError:  # made by the program, as the limits are from the table of costs
        return {}
    tree = ast.parse(textwrap.dedent(source))
    found: dict[str, str] = {}
    body = tree.body[0].body  # type: ignore[attr-defined]
    for one, below in zip(body, body[1:], strict=False):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            value = getattr(below, "value", None)
            if isinstance(below, ast.Expr) and isinstance(getattr(value, "value", None), str):
                found[one.target.id] = inspect.cleandoc(value.value)  # type: ignore[union-attr]
    return found


def _limit(name: str) -> str:
    """What a limit is, by its name."""
    kind, _, what = name.partition("_")
    return f"limit on `{what}` of every candidate" if kind in ("max", "min") else ""


def _type(annotation: Any) -> str:
    """A type in words: `int or none`, `list of float`, one of the literals, a link to a model."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, UnionType):
        return " or ".join(map(_type, arguments))
    if origin is Literal:
        return ", ".join(f"`{json.dumps(one).strip(chr(34))}`" for one in arguments)
    if origin in (tuple, list):
        kinds = dict.fromkeys(_type(one) for one in arguments if one is not ...)
        return f"list of {', '.join(kinds)}"
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    words = {NoneType: "none", str: "text", Path: "path", bool: "true, false", Any: "any"}
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bound(limit: Any) -> str | None:
    """A limit of a number, or of how many there are."""
    signs = {
        "ge": "≥",
        "gt": ">",
        "le": "≤",
        "lt": "<",
        "min_length": "at least",
        "max_length": "at most",
    }
    for name, sign in signs.items():
        if (value := getattr(limit, name, None)) is not None:
            is_short = isinstance(value, int) and abs(value) < 2**53
            number = f"{value:,}" if is_short else f"{value:g}"
            return f"{sign} {number}".replace("<", "&lt;")
    return None


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "required" if value is PydanticUndefined else _value(value)


def _value(value: Any) -> str:
    """A default as YAML has it; of a model, that its own defaults hold."""
    if isinstance(value, BaseModel):
        changed = value.model_dump(mode="json", exclude_defaults=True)
        return f"`{json.dumps(changed)}`" if changed else "its defaults"
    return f"`{json.dumps(value, default=str)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

"""From a YAML config and `--set` overrides to the frozen model of one stage.

A config has the sections below; a stage reads those that its model names and ignores the others,
so that one file serves a whole path. Order: default < YAML < `--set a.b=c`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from supernet.files import UserError
from supernet.files.expected import expected_of_all, field_of, shown
from supernet.plugins import allow

SECTIONS = ("space", "data", "supernet", "search", "finals", "pretrain", "retrain", "audit", "seed")

MAX_BRACKETS = 100
MAX_VALUES = 100_000
"""Of a config."""
MOST_NAMED = 12
"""Of the names that there are, where none is like the one given."""

Stage = TypeVar("Stage", bound=BaseModel)


def load_stage(path: str | Path, model: type[Stage], overrides: Sequence[str] = ()) -> Stage:
    """Read the sections of `path` that `model` names, with `overrides` applied.

    Raises:
        UserError: unreadable, not YAML, an unknown or missing field, a wrong type or value.
    """
    config = _read(Path(path))
    overridden = [_override(config, override) for override in overrides]

    def where(dotted: str) -> str:
        """The source of a field: the file, or the command line."""
        from_line = any(f"{dotted}.".startswith(f"{name}.") for name in overridden)
        return "--set" if from_line else str(path)

    for name in config:
        if name not in SECTIONS:
            raise UserError(f"{where(name)}: unknown section '{name}'{_nearest(name, SECTIONS)}")
    # A section with nothing under it means its defaults.
    given = {
        name: {} if value is None else value
        for name, value in config.items()
        if name in model.model_fields
    }
    if isinstance(given.get("space"), dict):
        _check_space(given["space"], where)
    if isinstance(given.get("data"), dict) and isinstance(given["data"].get("name"), str):
        allow(given["data"]["name"])
    try:
        stage = model.model_validate(given)
    except ValidationError as error:
        details = error.errors(include_url=False)
        # A misspelt name is often the reason for a missing one: name it first.
        details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
        dotted = ".".join(field_of(details[0]))
        others = {tuple(field_of(detail)) for detail in details} - {tuple(field_of(details[0]))}
        more = f" (and {len(others)} more)" if others else ""
        raise UserError(f"{where(dotted)}: {_explain(details, model)}{more}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if (wrong := _no_number(given, model)) is not None:
        dotted, value, expected = wrong
        raise UserError(f"{where(dotted)}: field '{dotted}' is {value!r}: expected {expected}")
    return stage


def set_fields(config: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply `a.b=c` overrides to plain data, in place; returns it."""
    for override in overrides:
        _override(config, override)
    return config


class _Loader(yaml.SafeLoader):
    """YAML with 1e-3 a number, only true and false as booleans, and no field twice."""

    def fetch_flow_collection_start(self, token: Any) -> None:
        if self.flow_level >= MAX_BRACKETS:  # the scanner's time grows with their square
            raise yaml.MarkedYAMLError(
                problem=f"more than {MAX_BRACKETS} brackets in one another",
                problem_mark=self.get_mark(),
            )
        super().fetch_flow_collection_start(token)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"field '{key.value}' stands twice", problem_mark=key.start_mark
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_BOOL, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"
# YAML 1.1 also reads on, off, yes and no as booleans: `compile: off` would not stay a word.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver(
    _FLOAT, re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"), "-+.0123456789"
)


def _parse(text: str, where: str) -> Any:
    try:
        # _Loader is a SafeLoader: plain data only.
        document = yaml.load(text, Loader=_Loader)
        _check_size(document, where)
        return document
    except UserError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{where}:{line} not valid YAML: {problem}") from error
    except Exception as error:  # PyYAML's own of a value: 2001-99-99, 0x, !!int x, deep brackets
        raise UserError(f"{where}: not valid YAML: {type(error).__name__}: {error}") from error


def _check_size(document: Any, where: str) -> None:
    """Refuse what would be huge once written out: a YAML alias stands for all that it names.

    Raises:
        UserError: more than `MAX_VALUES`, or a value that holds itself.
    """
    waiting, seen = [document], 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, (dict, list, set, tuple)):
            seen += len(value) + 1
            waiting += value.values() if isinstance(value, dict) else value
        if seen > MAX_VALUES:
            raise UserError(f"{where}: more than {MAX_VALUES:,} values, aliases counted each time")


def _read(path: Path) -> dict[str, Any]:
    """The file's mapping of sections."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UserError(f"config {path}: cannot be read ({reason})") from error
    document = _parse(text, str(path))
    if document is None:
        raise UserError(f"config {path}: is empty; expected sections ({', '.join(SECTIONS)})")
    if not isinstance(document, dict):
        raise UserError(
            f"config {path}: holds a {type(document).__name__}; "
            f"expected sections ({', '.join(SECTIONS)})"
        )
    return {str(name): value for name, value in document.items()}


def _override(config: dict[str, Any], override: str) -> str:
    """Set one `a.b=c` in `config`; returns the dotted name."""
    dotted, separator, text = override.partition("=")
    names = dotted.split(".")
    if not separator or not all(names):
        raise UserError(f"--set {override}: expected FIELD=VALUE, as in search.population=20")
    value = _parse(text, f"--set {override}")
    target = config
    for depth, name in enumerate(names[:-1], start=1):
        if target.get(name) is None:
            target[name] = {}
        target = target[name]
        if not isinstance(target, dict):
            above = ".".join(names[:depth])
            raise UserError(f"--set {override}: '{above}' is {target!r}, which has no fields")
    target[names[-1]] = value
    return dotted


def _check_space(space: dict[str, Any], where: Callable[[str], str]) -> None:
    """Rebuild the search space, so that a wrong option is found before work starts."""
    from supernet.spaces import space_class, space_from_description

    try:
        if isinstance(space.get("name"), str):
            known = [field.name for field in fields(space_class(space["name"]))]  # type: ignore[arg-type]
            for name in map(str, space):
                if name not in ("name", *known):
                    raise UserError(f"unknown field 'space.{name}'{_nearest(name, known, 'space')}")
        space_from_description(space)
    except UserError as error:
        options = [str(name) for name in space if name != "name"]
        # Without the space's name, which may contain an option's: mobilenet-groups, groups.
        text = str(error).replace(f"'{space.get('name')}'", "")
        # What follows the colon says it best: "network 'bireal-18': width 0.3 makes ...".
        parts = (text.partition(": ")[2], text)
        mentioned = (
            o for part in parts for o in options if re.search(rf"\b{re.escape(o)}\b", part)
        )
        guilty = next(mentioned, "name")
        raise UserError(f"{where(f'space.{guilty}')}: {error}") from error


def _explain(details: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    """One line for the first of pydantic's errors: the dotted field, the value, what to expect."""
    detail = details[0]
    *parents, last = detail["loc"] or ("",)
    dotted = ".".join(field_of(detail))
    if detail["type"] == "extra_forbidden":
        above = ".".join(map(str, parents))
        return f"unknown field '{dotted}'{_nearest(str(last), _known(model, parents), above)}"
    if detail["type"] == "missing":
        return f"{'field' if parents else 'section'} '{dotted}' is missing"
    message = expected_of_all(details)
    if isinstance(detail["input"], dict) and detail["type"] == "value_error":
        return f"section '{dotted}': {message}"
    return f"field '{dotted}' is {shown(detail['input'])}: {message}"


def _no_number(value: Any, annotation: Any, dotted: str = "") -> tuple[str, Any, str] | None:
    """The first number field that holds true, "7", nan or inf: its name, value, what to expect.

    Pydantic takes all of these for numbers; asked to be strict it would take no list for a tuple
    and no text for a path, which is all that YAML has.
    """
    members = list(_members(annotation))
    parts: list[tuple[str, Any, Any]] = []
    if isinstance(value, dict):
        for member in members:
            if isinstance(member, type) and issubclass(member, BaseModel):
                known = member.model_fields
                parts += [(n, v, known[n].annotation) for n, v in value.items() if n in known]
            elif get_origin(member) is not None and len(get_args(member)) == 2:
                parts += [(str(n), v, get_args(member)[1]) for n, v in value.items()]
    elif isinstance(value, list):
        for member in members:
            kinds = [kind for kind in get_args(member) if kind is not ...]
            if kinds and get_origin(member) is not Literal:
                parts += [(str(n), v, kinds[min(n, len(kinds) - 1)]) for n, v in enumerate(value)]
    elif int in members or float in members:
        expected = "a number" if float in members else "a whole number"
        if isinstance(value, bool) and bool not in members:
            return dotted, value, expected
        words = str in members or Path in members
        if (
            isinstance(value, str)
            and not words
            and not any(value in get_args(member) for member in members)
        ):
            return dotted, value, f"{expected}, without quotes"
        if isinstance(value, float) and not math.isfinite(value):
            return dotted, value, f"{expected} that is finite"
    for name, part, kind in parts:
        found = _no_number(part, kind, f"{dotted}.{name}" if dotted else name)
        if found is not None:
            return found
    return None


def _members(annotation: Any) -> Iterable[Any]:
    """The alternatives of a union; what `Annotated` says besides is left out."""
    if get_origin(annotation) is Annotated:
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for inner in get_args(annotation):
            yield from _members(inner)
    else:
        yield annotation


def _known(model: type[BaseModel], parents: Iterable[Any]) -> list[str]:
    """The field names where pydantic's location `parents` leads, down from `model`."""
    models = [model]
    for parent in parents:
        # Indices and union tags name no field: they stay within the same models.
        deeper = [
            found
            for one in models
            if parent in one.model_fields
            for found in _models_in(one.model_fields[parent].annotation)
        ]
        models = deeper or models
    return [name for one in models for name in one.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models inside an annotation such as `tuple[Limit, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType) or get_args(annotation):
        return [found for inner in get_args(annotation) for found in _models_in(inner)]
    return []


def _nearest(name: str, known: Iterable[str], above: str = "") -> str:
    """`; did you mean ...?`, the known name most like `name`; where none is, all of a few."""
    names = list(known)
    for nearest in difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"; did you mean '{above + '.' if above else ''}{nearest}'?"
    return f"; there are {', '.join(names[:MOST_NAMED])}" + (", ..." * (len(names) > MOST_NAMED))

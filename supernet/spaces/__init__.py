"""The search spaces, one file a space; by name, by import path or by Python file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from supernet.files import UserError
from supernet.space import SearchSpace
from supernet.spaces.mobilenet_groups import MobileNetGroups

SPACES: dict[str, type[SearchSpace]] = {MobileNetGroups.name: MobileNetGroups}


def space_class(name: str) -> type[SearchSpace]:
    """The space registered as `name`, or `module:Class`, or `file.py:Class`.

    Raises:
        UserError: no such space, module, file or class.
    """
    if name in SPACES:
        return SPACES[name]
    if ":" not in name:
        raise UserError(
            f"no search space '{name}'; there are {', '.join(SPACES)}, "
            f"or name your own as 'module:Class' or 'file.py:Class'"
        )
    where, _, class_name = name.rpartition(":")
    found = getattr(_import(where, name), class_name, None)
    if not (inspect.isclass(found) and issubclass(found, SearchSpace) and is_dataclass(found)):
        raise UserError(f"search space '{name}': {class_name} is not a dataclass of SearchSpace")
    found.name = name  # describe() must name what space_from_description can find again
    return found


def _import(where: str, name: str) -> Any:
    """Import a module by name, or a Python file under a name of its own."""
    if not where.endswith(".py"):
        try:
            return importlib.import_module(where)
        except ImportError as error:
            raise UserError(f"search space '{name}': {error}") from error
    path = Path(where).resolve()
    module_name = f"evobit_space_{path.stem}"
    known = sys.modules.get(module_name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    module_spec = importlib.util.spec_from_file_location(module_name, path)
    if module_spec is None or module_spec.loader is None or not path.is_file():
        raise UserError(f"search space '{name}': no file {where}")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_name] = module
    module_spec.loader.exec_module(module)
    return module


def space_from_description(description: Mapping[str, Any]) -> SearchSpace:
    """Rebuild a space from `{"name": ..., option: value, ...}`; absent options take defaults.

    Raises:
        UserError: an unknown name or option, or an option of the wrong type.
    """
    options = dict(description)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UserError("search space: field 'name' is missing or not text")
    found = space_class(name)
    known = {field.name: field for field in fields(found)}  # type: ignore[arg-type]
    for option, value in options.items():
        if option not in known:
            raise UserError(
                f"search space '{name}' has no option '{option}'; options are {', '.join(known)}"
            )
        options[option] = _frozen(value)
    from pydantic import TypeAdapter, ValidationError

    try:
        # Checks the types of all options as the dataclass annotates them.
        return TypeAdapter(found).validate_python(options)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "options"
        raise UserError(
            f"search space '{name}': {where}: {first['msg']}, found {first['input']!r}"
        ) from error


def _frozen(value: Any) -> Any:
    """Lists as tuples, at any depth, so that a space stays hashable."""
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value

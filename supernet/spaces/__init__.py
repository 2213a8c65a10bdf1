"""The search spaces, one file a space; by name, by import path or by Python file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

from supernet.architecture import Choice
from supernet.costs import cost
from supernet.files import UserError
from supernet.files.expected import first_mistake
from supernet.plugins import own_code
from supernet.space import SearchSpace
from supernet.spaces.metapruning import MetaPruning
from supernet.spaces.mixed_precision import MixedPrecision
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spaces.published import PublishedNetworkSpace
from supernet.spaces.spos_blocks import SposBlocks
from supernet.spaces.wide_binary import WideBinary

SPACES: dict[str, type[SearchSpace]] = {
    MixedPrecision.name: MixedPrecision,
    MobileNetGroups.name: MobileNetGroups,
    PublishedNetworkSpace.name: PublishedNetworkSpace,
    SposBlocks.name: SposBlocks,
    WideBinary.name: WideBinary,
    MetaPruning.name: MetaPruning,
}

MAX_NUMBER = 2**31
"""In any option of a space."""

MAX_PARAMETERS = 10**9
"""Of a network: 4 GB in fp32, twenty times AlexNet's."""

MAX_WORK = 10**15
"""Multiply-adds of one image; a ResNet-50 of 1,024 pixels has 10^11."""


def space_class(name: str, *, trusted: bool = True) -> type[SearchSpace]:
    """The space registered as `name`, or `module:Class`, or `file.py:Class`.

    A name that is not `trusted`, because a file of unknown origin holds it, imports nothing: it
    finds registered spaces, and those that were allowed before (`supernet.plugins`).

    Raises:
        UserError: no such space, module, file or class.
    """
    if name in SPACES:
        return SPACES[name]
    where, _, class_name = name.rpartition(":")
    if not where:
        raise UserError(
            f"no search space '{name}'; there are {', '.join(SPACES)}, "
            f"or name your own as 'module:Class' or 'file.py:Class'"
        )
    found = own_code(name, f"search space '{name}'", trusted=trusted)
    if found is None:
        raise UserError(f"search space '{name}': {where} has no class {class_name}")
    if not (inspect.isclass(found) and issubclass(found, SearchSpace) and is_dataclass(found)):
        raise UserError(f"search space '{name}': {class_name} is not a dataclass of SearchSpace")
    found.name = name  # describe() must name what space_from_description can find again
    return found


def space_from_description(
    description: Mapping[str, Any],
    *,
    trusted: bool = True,
    known: type[SearchSpace] | None = None,
) -> SearchSpace:
    """Rebuild a space from `{"name": ..., option: value, ...}`; absent options take defaults.

    `trusted` is for a config: it may name a user's own code. What a file of unknown origin
    describes is not trusted (see `space_class`), and may only be of the class `known` besides.

    Raises:
        UserError: an unknown name or option, or an option of the wrong type.
    """
    if not isinstance(description, Mapping):
        raise UserError(f"search space: expected name and options, found {description!r:.50}")
    options = dict(description)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise UserError("search space: field 'name' is missing or not text")
    same = known is not None and name == known.name
    found: Any = known if same else space_class(name, trusted=trusted)
    own = [field for field in fields(found) if field.init]
    names = [field.name for field in own]
    from pydantic import TypeAdapter, ValidationError

    try:
        annotations = get_type_hints(found)
    except NameError as error:  # a type that is imported for type checkers alone
        raise UserError(f"search space '{name}': its annotations: {error}") from error
    for option, value in options.items():
        if option not in names:
            raise UserError(
                f"search space '{name}' has no option '{option}'; options are {', '.join(names)}"
            )
        try:
            # Strict: neither true nor "7" is a number; a whole number still is a float.
            options[option] = TypeAdapter(annotations[option]).validate_python(
                _frozen(value), strict=True
            )
        except ValidationError as error:
            raise UserError(f"search space '{name}': {first_mistake(error, option)}") from error
        if _too_large(options[option]):
            raise UserError(
                f"search space '{name}': {option}: expected numbers up to {MAX_NUMBER:,}"
            )
    for field in own:
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and field.name not in options:
            raise UserError(f"search space '{name}': option '{field.name}' is missing")
    try:
        space: SearchSpace = found(**options)
    except (TypeError, ValueError, AssertionError, ArithmeticError) as error:
        raise UserError(f"search space '{name}': {error}") from error
    _check_size(space)
    return space


def _first(choices: Sequence[Choice]) -> Choice:
    return choices[0]


_LARGEST: dict[str, Callable[..., Choice]] = {
    **dict.fromkeys(("depth", "kernel", "percent", "width"), max),
    "groups": min,
}
"""Of an axis' choices the one of most parameters."""


def _check_size(space: SearchSpace) -> None:
    """Refuse networks that no machine could hold, of numbers that are each within bounds.

    Raises:
        UserError: the first architecture, or one of the widest, has too many parameters, or too
            much to compute.
    """
    # `largest` would take a second where there are many positions.
    wide = space.architecture(
        {p.name: _LARGEST.get(str(p.axis), _first)(p.choices) for p in space.positions}
    )
    for architecture in dict.fromkeys((space.first(), wide)):
        costs = cost(space.decode(architecture))
        found = {"parameters": costs.parameters, "multiply-adds": costs.flops + costs.bops}
        for (what, number), most in zip(found.items(), (MAX_PARAMETERS, MAX_WORK), strict=True):
            if number > most:
                raise UserError(
                    f"search space '{space.name}': with these options a network has {number:,} "
                    f"{what}, expected at most {most:,}"
                )


def _too_large(value: Any) -> bool:
    """Whether there is a number, at any depth, with which no network can be counted or built."""
    if isinstance(value, tuple):
        return any(map(_too_large, value))
    return isinstance(value, (int, float)) and abs(value) > MAX_NUMBER


def _frozen(value: Any) -> Any:
    """Lists as tuples, at any depth, so that a space stays hashable."""
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value

"""A search space and one of its architectures, as the options of a command name them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from evobit.config import set_fields
from supernet.architecture import Architecture
from supernet.files import UserError
from supernet.space import Position, SearchSpace
from supernet.spaces import space_from_description


def named_space(
    name: str,
    options: dict[str, Any],
    groups: str | None,
    choices: str | None,
    widths: str | None,
    overrides: list[str],
) -> tuple[SearchSpace, Architecture]:
    """The space of that name with these options, and the architecture with these choices.

    `groups` are choices themselves, `choices` their numbers from 0; either is one for every
    position or one each. `widths` are the numbers of the choices at the positions of channels,
    `blockN.width`, which `groups` and `choices` then leave out; a space that was not asked to
    search them is asked to offer its usual ones. What is not named has its first choice.

    Raises:
        UserError: an unknown space or option, or no such choice.
    """

    description = set_fields({"name": name, **options}, overrides)
    space = space_from_description(description)
    if groups is not None and choices is not None:
        raise UserError("give --groups or --choices, not both")
    chosen = dict(space.first().choices)
    if widths is not None:
        space = _offering_widths(space, description)
        chosen = dict(space.first().choices) | _numbered(
            space, [p for p in space.positions if _is_width(p)], widths, "--widths"
        )
    others = [p for p in space.positions if widths is None or not _is_width(p)]
    if groups is not None:
        space, found = _with_groups(space, description, others, groups)
        chosen = dict(space.first().choices) | chosen | found
    if choices is not None:
        chosen |= _numbered(space, others, choices, "--choices")
    return space, space.architecture(chosen)


def _is_width(position: Position) -> bool:
    return position.axis == "width"


def _offering_widths(space: SearchSpace, description: dict[str, Any]) -> SearchSpace:
    """The space with positions of channels: its own, or its usual ones."""
    if any(map(_is_width, space.positions)):
        return space
    if not space.usual_widths:
        raise UserError(f"--widths: space '{space.name}' has no position of channels as asked for")
    return space_from_description({**description, "widths": list(space.usual_widths)})


def _with_groups(
    space: SearchSpace, description: dict[str, Any], positions: Sequence[Position], text: str
) -> tuple[SearchSpace, dict[str, Any]]:
    """The space, given groups that it had not been asked to offer, and the choices."""
    numbers = _numbers(text, "--groups")
    legal = getattr(space, "groups", None)
    if legal is not None and (new := [n for n in dict.fromkeys(numbers) if n not in legal]):
        try:
            space = space_from_description({**description, "groups": [*legal, *new]})
        except UserError:
            pass  # a number that divides nowhere; the positions below say where it was wanted
        names = {position.name for position in positions}
        positions = [position for position in space.positions if position.name in names]
    if positions and all(isinstance(c, str) for p in positions for c in p.choices):
        raise UserError(f"--groups: space '{space.name}' has no groups to choose; use --choices")
    chosen = {}
    for position, number in _one_each(space, positions, numbers, "--groups"):
        if number not in position.choices:
            raise UserError(
                f"--groups: {number} does not divide the channels at position '{position.name}'; "
                f"choices there are {', '.join(map(str, position.choices))}"
            )
        chosen[position.name] = number
    return space, chosen


def _numbered(
    space: SearchSpace, positions: Sequence[Position], text: str, option: str
) -> dict[str, Any]:
    """The choices at `positions` that have these numbers."""
    chosen = {}
    for position, number in _one_each(space, positions, _numbers(text, option), option):
        if not 0 <= number < len(position.choices):
            numbered = (f"{n} ({choice})" for n, choice in enumerate(position.choices))
            raise UserError(
                f"{option}: position '{position.name}' has no choice {number}; "
                f"there are {', '.join(numbered)}"
            )
        chosen[position.name] = position.choices[number]
    return chosen


def _one_each(
    space: SearchSpace, positions: Sequence[Position], numbers: list[int], option: str
) -> Iterable[tuple[Position, int]]:
    """Every position with its number; a single number is for all."""
    if not positions:
        raise UserError(f"{option}: space '{space.name}' has one architecture: nothing to choose")
    if len(numbers) not in (1, len(positions)):
        raise UserError(
            f"{option}: {len(numbers)} numbers; expected 1, or {len(positions)}, one a position"
        )
    if len(numbers) == 1:
        numbers = numbers * len(positions)
    return zip(positions, numbers, strict=True)


def _numbers(text: str, option: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"{option} {text}: expected whole numbers, as in 4 or 1,2,4") from None

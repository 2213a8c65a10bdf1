"""The networks of a space that a person would write down: a family of hand-made designs.

Binary networks made by hand have one width, one kernel, one depth and one number of groups
everywhere, or groups that grow with depth, as the channels do: NAS-BNN (arXiv 2408.15484) gives its
stages 1, 1, 1 or 2, 2 or 4, 4 or 8, 8 or 16 of them to choose from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from typing import TYPE_CHECKING

from supernet.architecture import Architecture, Choice

if TYPE_CHECKING:
    from supernet.space import Position, SearchSpace
    from supernet.spec import NetworkSpec

MAX_COMBINATIONS = 2_000
"""Of one value an axis, and of ladders with those: more than so many are left out."""

GROWING = "groups"
"""The axis whose values may grow with depth."""

BENDS = {"": 1.0, " early": 0.5, " late": 2.0}
"""How a ladder grows: the exponent of the depth, by what stands behind its name."""

LETTERS = {"width": "w", "kernel": "k", GROWING: "g", "depth": "d"}
"""Axes that have a short name, in the order of the parts of a name; others follow by their own."""

Ranks = Mapping[Choice, int]
"""The values of an axis, each with its place in their order."""


def designs(space: SearchSpace) -> dict[str, Architecture]:
    """The family by name, in a fixed order; no network twice: the first name of each stays.

    First `space.uniform_architectures()`. Then for every combination of one value for each other
    axis: one number of groups everywhere (`w=1 k=3 g=1 d=1`), and those that grow from one number
    to another (`w=1 k=3 g=1..8 d=1`): evenly, early or late. A position takes the greatest of its
    choices up to the value asked for, or else its smallest.
    """
    found: dict[str, Architecture] = {}
    known: set[NetworkSpec] = set()
    for name, architecture in chain(space.uniform_architectures().items(), _family(space)):
        spec = space.decode(architecture)
        if name not in found and spec not in known:
            found[name] = architecture
            known.add(spec)
    return found


def _family(space: SearchSpace) -> Iterator[tuple[str, Architecture]]:
    """Names and architectures; groups vary fastest, so that like ones stand together."""
    axes = _axes(space)
    groups = axes.get(GROWING, {})
    others = {axis: ranks for axis, ranks in axes.items() if axis != GROWING}
    num_others = math.prod(map(len, others.values()))
    has_products = num_others * max(1, len(groups)) <= MAX_COMBINATIONS
    has_ladders = num_others * len(BENDS) * math.comb(len(groups), 2) <= MAX_COMBINATIONS
    if not axes or not (has_products or has_ladders):
        return
    for values in product(*others.values()):
        parts, chosen = {}, dict(space.first().choices)
        for axis, value in zip(others, values, strict=True):
            parts[axis] = _text(value)
            chosen |= _same_everywhere(_positions(space, axis), others[axis], value)
        own: Iterator[tuple[str, dict[str, Choice]]] = iter([("", {})] if not groups else [])
        if has_products:
            own = chain(own, _equal(space, groups))
        if has_ladders:
            own = chain(own, _ladders(space, chosen, groups))
        for text, grouped in own:
            named = {**parts, GROWING: text}
            name = " ".join(f"{LETTERS.get(axis, axis)}={named[axis]}" for axis in axes)
            yield name, space.architecture({**chosen, **grouped})


def _axes(space: SearchSpace) -> dict[str, Ranks]:
    """The axes along which there is a choice, with their values: numbers ascending, else as met."""
    found: dict[str, dict[Choice, None]] = {}
    for position in space.positions:
        found.setdefault(str(position.axis), {}).update(dict.fromkeys(position.choices))
    order = [*(axis for axis in LETTERS if axis in found), *(a for a in found if a not in LETTERS)]
    return {axis: _ranks(tuple(found[axis])) for axis in order if len(found[axis]) > 1}


def _ranks(values: Sequence[Choice]) -> Ranks:
    numbers = [value for value in values if not isinstance(value, str)]
    ordered = sorted(numbers) if len(numbers) == len(values) else values
    return {value: rank for rank, value in enumerate(ordered)}


def _positions(space: SearchSpace, axis: str) -> list[Position]:
    return [position for position in space.positions if position.axis == axis]


def _same_everywhere(
    positions: Sequence[Position], ranks: Ranks, value: Choice
) -> dict[str, Choice]:
    return {position.name: _up_to(position, ranks, ranks[value]) for position in positions}


def _up_to(position: Position, ranks: Ranks, rank: int) -> Choice:
    """The position's greatest choice of at most that rank, or else its smallest."""
    low = [choice for choice in position.choices if ranks[choice] <= rank]
    return max(low, key=ranks.__getitem__) if low else min(position.choices, key=ranks.__getitem__)


def _equal(space: SearchSpace, ranks: Ranks) -> Iterator[tuple[str, dict[str, Choice]]]:
    """The same number of groups everywhere, as text and as choices."""
    for value in ranks:
        yield _text(value), _same_everywhere(_positions(space, GROWING), ranks, value)


def _ladders(
    space: SearchSpace, chosen: Mapping[str, Choice], ranks: Ranks
) -> Iterator[tuple[str, dict[str, Choice]]]:
    """Groups that grow from each number to each greater one, as text and as choices.

    From the first position that has an effect (depth 0) to the last one (depth 1): a shallower
    network climbs the whole ladder, too.
    """
    positions = _positions(space, GROWING)
    steps = _steps(space, chosen, positions)
    last = max(steps, default=0)
    if last == 0:
        return
    for bend, exponent in BENDS.items():
        for (low, start), (high, end) in combinations(ranks.items(), 2):
            climbed = (round((end - start) * (step / last) ** exponent) for step in steps)
            yield (
                f"{_text(low)}..{_text(high)}{bend}",
                {
                    position.name: _up_to(position, ranks, start + rise)
                    for position, rise in zip(positions, climbed, strict=True)
                },
            )


def _steps(
    space: SearchSpace, chosen: Mapping[str, Choice], positions: Sequence[Position]
) -> list[int]:
    """Which step of a ladder each position stands on: one more for each that has an effect."""
    network = space.decode(space.architecture(chosen))

    def has_effect(position: Position) -> bool:
        others = [one for one in position.choices if one != chosen[position.name]]
        if not others:  # nothing to choose, but a layer like the others
            return True
        return space.decode(space.architecture({**chosen, position.name: others[0]})) != network

    steps, count = [], -1
    for position in positions:
        count += has_effect(position)
        steps.append(max(0, count))
    return steps


def _text(value: Choice) -> str:
    """1.0 is 1, as people write it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

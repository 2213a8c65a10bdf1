"""Which choices may be drawn in which epoch: a supernet's positions opened one after another.

Drawing widths from the first step on made a supernet diverge; it converged where the widest alone
was trained first and narrower ones joined later (CanyonWind/Single-Path-One-Shot-NAS-MXNet).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, ClassVar

from supernet.architecture import Architecture, Choice
from supernet.costs import cost
from supernet.files import UserError
from supernet.space import Position, SearchSpace
from supernet.spec import NetworkSpec
from training.path_sampling.config import PathSamplingConfig, ScheduleEntry, Widening

Allowed = Mapping[str, tuple[Choice, ...]]
"""Position -> the choices that may be drawn; a position that is left out has all of its own."""


class NarrowedSpace(SearchSpace):
    """A space of which some choices are not drawn; its architectures are those of `whole`."""

    name: ClassVar[str] = "narrowed"

    def __init__(self, whole: SearchSpace, allowed: Allowed) -> None:
        self._whole = whole
        self._positions = tuple(
            replace(
                position,
                # In the whole space's order, and as it writes them: 2.0 in a config may be its 2.
                choices=tuple(
                    choice
                    for choice in position.choices
                    if choice in allowed.get(position.name, position.choices)
                ),
            )
            for position in whole.positions
        )

    @property
    def positions(self) -> tuple[Position, ...]:
        return self._positions

    def decode(self, architecture: Architecture) -> NetworkSpec:
        return self._whole.decode(architecture)

    def describe(self) -> dict[str, Any]:
        """Of the whole space, whose architectures these are."""
        return self._whole.describe()


@dataclass(frozen=True)
class Period:
    """The space that is drawn from, from `first_epoch` on."""

    first_epoch: int
    space: SearchSpace

    @cached_property
    def ends(self) -> tuple[Architecture, Architecture]:
        """The largest and the smallest architecture, which take many decodings to find."""
        return self.space.largest(), self.space.smallest()


def periods_of(space: SearchSpace, config: PathSamplingConfig) -> tuple[Period, ...]:
    """The periods of a training in rising order, the first from epoch 0.

    Raises:
        UserError: a pattern that no position has, or a choice that a position has not.
    """
    allowed: dict[str, tuple[Choice, ...]] = {}
    found = {0: space}
    for epoch, change in _changes(space, config):
        allowed |= change
        found[epoch] = NarrowedSpace(space, allowed)
    return tuple(Period(epoch, drawn) for epoch, drawn in found.items())


def period_at(periods: tuple[Period, ...], epoch: int) -> Period:
    """The last period that has begun."""
    return [period for period in periods if period.first_epoch <= epoch][-1]


def never_drawn(space: SearchSpace, periods: tuple[Period, ...], epochs: int) -> Allowed:
    """The choices that no period of a training of `epochs` allows, where there are any."""
    drawn = {
        (position.name, choice)
        for period in periods
        if period.first_epoch < epochs
        for position in period.space.positions
        for choice in position.choices
    }
    left = {
        position.name: tuple(c for c in position.choices if (position.name, c) not in drawn)
        for position in space.positions
    }
    return {name: choices for name, choices in left.items() if choices}


def _changes(space: SearchSpace, config: PathSamplingConfig) -> Iterator[tuple[int, Allowed]]:
    """(epoch, what is allowed anew from it on), the epochs rising."""
    for number, entry in enumerate(config.schedule or ()):
        yield entry.epoch, _scheduled(space, entry, f"supernet.sampling.schedule.{number}")
    if config.widen is not None:
        yield from _widened(space, config.widen)


def _scheduled(space: SearchSpace, entry: ScheduleEntry, where: str) -> Allowed:
    allowed: dict[str, tuple[Choice, ...]] = {}
    for pattern, choices in entry.choices.items():
        for position in _matching(space, pattern, where):
            if unknown := [choice for choice in choices if choice not in position.choices]:
                raise UserError(
                    f"{where}: {unknown[0]!r} of '{pattern}' is not a choice of "
                    f"'{position.name}'; choices are {', '.join(map(str, position.choices))}"
                )
            allowed[position.name] = choices
    return allowed


def _widened(space: SearchSpace, widen: Widening) -> Iterator[tuple[int, Allowed]]:
    """The largest choice from epoch 0, the two largest from `from_epoch`, and so on."""
    positions = _matching(space, widen.pattern, "supernet.sampling.widen")
    largest_first = {position.name: _largest_first(space, position) for position in positions}
    yield 0, {name: choices[:1] for name, choices in largest_first.items()}
    for count in range(2, max(map(len, largest_first.values())) + 1):
        epoch = widen.from_epoch + (count - 2) * widen.every_epochs
        yield epoch, {name: choices[:count] for name, choices in largest_first.items()}


def _largest_first(space: SearchSpace, position: Position) -> tuple[Choice, ...]:
    """The choices by parameters of the network that is otherwise the largest, most first."""
    largest = dict(space.largest().choices)

    def parameters(choice: Choice) -> int:
        architecture = space.architecture({**largest, position.name: choice})
        return cost(space.decode(architecture)).parameters

    return tuple(sorted(position.choices, key=parameters, reverse=True))


def _matching(space: SearchSpace, pattern: str, where: str) -> list[Position]:
    found = [position for position in space.positions if fnmatchcase(position.name, pattern)]
    if not found:
        raise UserError(
            f"{where}: no position of space '{space.name}' matches '{pattern}'; positions are "
            f"{', '.join(position.name for position in space.positions)}"
        )
    return found

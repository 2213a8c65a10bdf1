"""A search space: named positions with their choices, and the one mapping from choices to networks.

A space holds no weights and imports no torch. A new space subclasses `SearchSpace` in one file
under `supernet/spaces/`; everything else (costs, supernet, search, export) reads what it decodes.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Literal, get_args

from supernet.architecture import Architecture, Choice
from supernet.costs import cost
from supernet.designs import designs
from supernet.files import UserError
from supernet.spec import BlockSpec, NetworkSpec

Axis = Literal["groups", "width", "percent", "kernel", "depth", "bits", "kind"]
"""What a position chooses: groups of a convolution; the share of its channels that a block or stage
has, or their percentage; pixels of a kernel; blocks of a stage; bits; a kind of block."""


@dataclass(frozen=True)
class Position:
    """One named searchable decision and its choices, in the order of the space's definition.

    An `axis` that is not given is the last part of the name (`block1.width`), or else `kind`.
    """

    name: str
    choices: tuple[Choice, ...]
    axis: Axis | None = None

    def __post_init__(self) -> None:
        if self.axis is None:
            last = self.name.rpartition(".")[2]
            object.__setattr__(self, "axis", last if last in get_args(Axis) else "kind")


class SearchSpace(ABC):
    """An ordered set of positions and `decode`, the only mapping from choices to a network."""

    name: ClassVar[str]

    supernet_norms_affine: ClassVar[bool] = True
    """Whether the supernet's BatchNorms have a learned factor and shift, as stand-alone ones do."""

    usual_widths: ClassVar[tuple[float, ...]] = ()
    """Widths to offer where a user names some and the space was not asked to search any."""

    @property
    @abstractmethod
    def positions(self) -> tuple[Position, ...]:
        """All positions, in a fixed order; each has at least one choice and a unique name.

        None is a space of one architecture, which can be trained but not searched.
        """

    @abstractmethod
    def decode(self, architecture: Architecture) -> NetworkSpec:
        """The network that `architecture` means. Pure: equal architectures, equal specs.

        A block is known by its name: what has one name in several architectures is one block's
        alternatives, and a shallower network leaves names out.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Flat JSON-able data from which `space_from_description` rebuilds this very space.

        Holds `name` and every option, defaults included.
        """

    @property
    def size(self) -> int:
        """The number of architectures."""
        return math.prod(len(position.choices) for position in self.positions)

    def check_searchable(self) -> None:
        """Demand something to choose.

        Raises:
            UserError: the space has one architecture.
        """
        if self.size == 1:
            raise UserError(
                f"space '{self.name}' has one architecture: nothing to search; use 'evobit retrain'"
            )

    def architecture(self, choices: Mapping[str, Any]) -> Architecture:
        """Check `choices` (position name -> choice) and put them in order.

        Raises:
            UserError: a position is missing or unknown, or a choice is not one of its choices.
        """
        names = [position.name for position in self.positions]
        if missing := [name for name in names if name not in choices]:
            raise UserError(f"space '{self.name}': no choice for position '{missing[0]}'")
        if unknown := [name for name in choices if name not in set(names)]:
            raise UserError(f"space '{self.name}' has no position '{unknown[0]}'")
        found = []
        for position in self.positions:
            choice = choices[position.name]
            if (known := _same(choice, position.choices)) is None:
                raise UserError(
                    f"space '{self.name}': {choice!r} is not a choice of '{position.name}'; "
                    f"choices are {', '.join(map(str, position.choices))}"
                )
            found.append((position.name, known))
        return Architecture(tuple(found))

    def sample(self, rng: Random) -> Architecture:
        """Draw every position's choice uniformly and independently."""
        return Architecture(
            tuple((position.name, rng.choice(position.choices)) for position in self.positions)
        )

    def canonical(
        self, architecture: Architecture, among: Sequence[Position] | None = None
    ) -> Architecture:
        """The same network, with every choice that has no effect in it at its position's first.

        A block that a depth leaves out has choices all the same. `among`: the positions that are
        looked at, None for all; each costs a decoding.
        """
        looked_at = self.positions if among is None else among
        choices = dict(architecture.choices)
        inert = [one for one in looked_at if choices[one.name] != one.choices[0]]
        if not inert:
            return architecture
        spec = self.decode(architecture)
        for position in inert:
            changed = {**choices, position.name: position.choices[0]}
            if self.decode(Architecture(tuple(changed.items()))) == spec:
                choices = changed
        return Architecture(tuple(choices.items()))

    def first(self) -> Architecture:
        """The architecture of every position's first choice."""
        return Architecture(
            tuple((position.name, position.choices[0]) for position in self.positions)
        )

    def uniform_architectures(self) -> dict[str, Architecture]:
        """Hand-made architectures to compare a found one with, by name; a space may have none."""
        return {}

    def designs(self) -> dict[str, Architecture]:
        """The networks that a person would write down, by name, like ones beside one another.

        A search begins with some of them. By default the family of `supernet.designs`, which begins
        with `uniform_architectures`; a space that knows better overrides it.
        """
        return designs(self)

    def block_candidates(self) -> dict[str, tuple[BlockSpec, ...]]:
        """For each block of any network, its distinct specs over the whole space, by its name.

        This default varies one position at a time, which finds every spec as long as each block
        depends on at most one position. A space whose blocks depend on several overrides it.
        """
        return self.blocks_over(self.first(), *((position.name,) for position in self.positions))

    def blocks_over(
        self, centre: Architecture, *together: Sequence[str]
    ) -> dict[str, tuple[BlockSpec, ...]]:
        """For each block, its specs in `centre` and wherever it differs in some of `together`.

        Each of `together` names positions of which all combinations are taken. The spec in
        `centre` comes first.
        """
        choices = {position.name: position.choices for position in self.positions}
        varied = (
            self.architecture({**dict(centre.choices), **dict(zip(names, chosen, strict=True))})
            for names in together
            for chosen in itertools.product(*(choices[name] for name in names))
        )
        found: dict[str, dict[BlockSpec, None]] = {}
        for network in map(self.decode, (centre, *varied)):
            for name, block in zip(network.block_names, network.blocks, strict=True):
                found.setdefault(name, {})[block] = None
        return {name: tuple(specs) for name, specs in found.items()}

    def blocks_around_largest(self) -> dict[str, tuple[BlockSpec, ...]]:
        """For each block, its specs in `largest()`, first, and one position away from it."""
        return self.blocks_over(self.largest(), *((position.name,) for position in self.positions))

    def weights_of(self, block: BlockSpec) -> Hashable:
        """What the alternatives of a block have in common that are cut from one set of weights.

        By default all are, where sharing is sliced. A space in which some alternatives differ in
        kind gives something else for each kind.
        """
        return None

    def largest(self) -> Architecture:
        """The widest, deepest, densest network: in sliced sharing all others are cut from it.

        This default takes at each position the choice of most parameters, in one pass.
        """
        return self._by_parameters(max)

    def smallest(self) -> Architecture:
        """The network of fewest parameters.

        This default takes at each position the choice of fewest, in one pass.
        """
        return self._by_parameters(min)

    def _by_parameters(self, pick: Callable[..., Choice]) -> Architecture:
        """`pick` (max or min) at each position by parameters, those before it as picked."""
        chosen = dict(self.first().choices)
        for position in self.positions:
            parameters = {
                choice: cost(
                    self.decode(self.architecture({**chosen, position.name: choice}))
                ).parameters
                for choice in position.choices
            }
            chosen[position.name] = pick(position.choices, key=parameters.__getitem__)
        return self.architecture(chosen)


def _same(choice: Any, choices: Sequence[Any]) -> Any:
    """Which of `choices` it is; None where it is none.

    True is no 1 and 2.0 no 2, which Python takes for equal: another text of an architecture would
    have another id. 1 is 1.0 where the choices are fractions, as people write them.
    """
    return next(
        (
            one
            for one in choices
            if one == choice
            and (type(one) is type(choice) or (type(one) is float and type(choice) is int))
        ),
        None,
    )

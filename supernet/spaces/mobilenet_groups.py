"""Binary MobileNet whose 3x3 convolutions choose their number of groups.

"Binarizing MobileNet via Evolution-based Searching" (Phan et al., CVPR 2020, arXiv 2005.06305).
The paper's abstract gives the searched quantity (the groups of each convolution); topology, block
and choices are a reconstruction from Bi-Real Net, ReActNet and MobileNetV1.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

from supernet.architecture import Architecture, Choice
from supernet.files import UserError
from supernet.space import Position, SearchSpace
from supernet.spec import (
    Activation,
    BlockSpec,
    HeadSpec,
    NetworkSpec,
    Shortcut,
    StemSpec,
)
from supernet.spec.building import (
    MOBILENET_BLOCKS,
    MOBILENET_STEM,
    Chain,
    Image,
    demand_whole,
    demand_width,
    is_whole,
    scaled,
)
from supernet.spec.units import unit_pair

GROUPS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class MobileNetGroups(SearchSpace):
    """Stem, 13 x (3x3 group convolution, 1x1 convolution), pooling, linear; all but ends binary.

    One position a block, the groups of its 3x3 convolution (and of its 1x1, with
    `search_pointwise`). A choice is legal where it divides both channel numbers of the layer.
    With `widths` each block's channels are searched too, at `blockN.width`: the share of its own
    number that it gives. Groups are then those that divide the channels of every width.
    """

    name: ClassVar[str] = "mobilenet-groups"

    image_size: int = 224
    classes: int = 1000
    in_channels: int = 3
    width: float = 1.0
    stem_stride: int = 2
    groups: tuple[int, ...] = GROUPS
    search_pointwise: bool = False
    shortcut: Literal["duplicate", "conv"] = "duplicate"
    activation: Activation = "prelu"
    blocks: tuple[tuple[int, int], ...] = MOBILENET_BLOCKS
    widths: tuple[float, ...] = ()
    rsign: bool = False
    """ReActNet's learned thresholds (arXiv 2003.03488) in every binary unit's sign."""

    def __post_init__(self) -> None:
        where = f"space '{self.name}'"
        demand_whole(
            where, image_size=self.image_size, classes=self.classes, in_channels=self.in_channels
        )
        demand_width(where, self.width)
        if self.stem_stride not in (1, 2):
            raise UserError(f"space '{self.name}': stem_stride must be 1 or 2")
        distinct = len(set(self.groups)) == len(self.groups)
        if not self.groups or not all(map(is_whole, self.groups)) or not distinct:
            raise UserError(f"space '{self.name}': groups must be distinct numbers above 0")
        if not self.blocks:
            raise UserError(f"space '{self.name}': blocks must hold at least one block")
        for number, (channels, stride) in enumerate(self.blocks, start=1):
            if not is_whole(channels):
                raise UserError(
                    f"space '{self.name}': blocks: block {number} has {channels!r} channels; "
                    f"expected a whole number above 0"
                )
            if stride not in (1, 2):
                raise UserError(
                    f"space '{self.name}': blocks: block {number} has stride {stride!r}; "
                    f"expected 1 or 2"
                )
        whole_row = list(self.widths) == sorted(set(self.widths))
        if not whole_row or not all(0 < width < math.inf for width in self.widths):
            raise UserError(
                f"space '{self.name}': widths must ascend, be distinct, above 0 and finite"
            )
        if self.widths and self.shortcut == "conv":
            raise UserError(
                f"space '{self.name}': with widths, expected shortcut 'duplicate', which takes no "
                f"weights at any width"
            )
        legal = {choice for position in self.positions for choice in position.choices}
        useless = [number for number in self.groups if number not in legal]
        # The default numbers are taken where they divide; a number the user chose must be of use.
        if useless and self.groups != GROUPS:
            raise UserError(
                f"space '{self.name}': {useless[0]} groups divide the channels of no block "
                f"(channels: {', '.join(map(str, sorted(set(self._channels))))})"
            )

    @cached_property
    def _channels(self) -> tuple[int, ...]:
        """Channels after the stem and after each block, at this width."""
        bases = (MOBILENET_STEM, *(channels for channels, _ in self.blocks))
        try:
            return tuple(scaled(channels, self.width) for channels in bases)
        except UserError as error:
            raise UserError(f"space '{self.name}': {error}") from error

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """`block1.spatial` ... `block13.spatial`; `.pointwise` and `.width` where searched."""
        positions = []
        for number in range(1, len(self.blocks) + 1):
            before, after = self._numbers(number - 1), self._numbers(number)
            legal = self._legal(number, *before)
            positions.append(Position(f"block{number}.spatial", legal, "groups"))
            if self.search_pointwise:
                legal = self._legal(number, *before, *after)
                positions.append(Position(f"block{number}.pointwise", legal, "groups"))
            if self.widths:
                positions.append(Position(f"block{number}.width", self.widths, "width"))
        return tuple(positions)

    def _numbers(self, number: int) -> tuple[int, ...]:
        """The numbers of channels that block `number` can give, 0 being the stem."""
        full = self._channels[number]
        if number == 0 or not self.widths:
            return (full,)
        scaled = [full * width for width in self.widths]
        if broken := [value for value in scaled if value != int(value)]:
            raise UserError(
                f"space '{self.name}': widths: {broken[0] / full:g} of {full} channels makes "
                f"{broken[0]:g}; choose widths that give whole numbers"
            )
        return tuple(map(int, scaled))

    def _legal(self, number: int, *channels: int) -> tuple[Choice, ...]:
        legal = tuple(g for g in self.groups if all(c % g == 0 for c in channels))
        if not legal:
            raise UserError(
                f"space '{self.name}': none of the groups {', '.join(map(str, self.groups))} "
                f"divides the {' and '.join(map(str, channels))} channels of block {number}"
            )
        return legal

    def describe(self) -> dict[str, Any]:
        """Name and all options; tuples as JSON lists."""
        options = asdict(self)
        options["groups"] = list(self.groups)
        options["blocks"] = [list(block) for block in self.blocks]
        options["widths"] = list(self.widths)
        return {"name": self.name, **options}

    def decode(self, architecture: Architecture) -> NetworkSpec:
        """The chain stem, (spatial, pointwise) x blocks, head."""
        chain = Chain(Image(self.in_channels, self.image_size))
        stem = self._channels[0]
        chain.add("stem", StemSpec(self.in_channels, stem, 3, self.stem_stride, chain.size))
        for number, (_, stride) in enumerate(self.blocks, start=1):
            before, after = (self._given(architecture, n) for n in (number - 1, number))
            spatial, pointwise = unit_pair(
                before,
                after,
                chain.size,
                stride=stride,
                groups=int(architecture[f"block{number}.spatial"]),
                pointwise_groups=int(architecture.get(f"block{number}.pointwise", 1)),
                doubling=self._doubling(before, after),
                activation=self.activation,
                rsign=self.rsign,
            )
            chain.add(f"block{number}_spatial", spatial)
            chain.add(f"block{number}_pointwise", pointwise)
        channels = self._given(architecture, len(self.blocks))
        chain.add("head", HeadSpec(channels, self.classes, chain.size))
        return chain.network(self.name, self.classes)

    def _given(self, architecture: Architecture, number: int) -> int:
        """Channels that block `number` gives, 0 being the stem."""
        if number == 0 or not self.widths:
            return self._channels[number]
        return int(self._channels[number] * float(architecture[f"block{number}.width"]))

    def _doubling(self, before: int, after: int) -> Shortcut:
        """Blocks may triple their channels, which takes weights unless widths are searched."""
        plain = self.widths or after == 2 * before
        return "duplicate" if self.shortcut == "duplicate" and plain else "conv"

    def block_candidates(self) -> dict[str, tuple[BlockSpec, ...]]:
        """With widths a block depends on those of its input and output, and on its groups."""
        if not self.widths:
            return super().block_candidates()
        near = [
            [
                position.name
                for position in self.positions
                if position.name.startswith(f"block{number}.")
                or position.name == f"block{number - 1}.width"
            ]
            for number in range(1, len(self.blocks) + 2)
        ]
        return self.blocks_over(self.first(), *near)

    def uniform_architectures(self) -> dict[str, Architecture]:
        """`uniform g=N` for each group number whose `uniform(N)` exists and differs from others.

        Where widths are searched, `uniform g=N w=W` for each of them.
        """
        found: dict[Architecture, str] = {}
        groups = [p for p in self.positions if p.axis == "groups"]
        for number, width in itertools.product(sorted(self.groups), self.widths or (1.0,)):
            if all(min(map(int, position.choices)) <= number for position in groups):
                name = f"uniform g={number}" + (f" w={width:g}" if self.widths else "")
                found.setdefault(self.uniform(number, width), name)
        return {name: architecture for architecture, name in found.items()}

    def uniform(self, groups: int, width: float = 1.0) -> Architecture:
        """At each position the largest legal choice of at most `groups`; `width` where searched."""
        chosen: dict[str, Choice] = {}
        for position in self.positions:
            if position.axis == "width":
                chosen[position.name] = width
                continue
            legal = [int(choice) for choice in position.choices if int(choice) <= groups]
            if not legal:
                raise UserError(
                    f"space '{self.name}': '{position.name}' has no choice of {groups} or fewer "
                    f"groups; choices are {', '.join(map(str, position.choices))}"
                )
            chosen[position.name] = max(legal)
        return self.architecture(chosen)

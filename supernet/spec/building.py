"""What builders of networks share, published or a space's: MobileNetV1's table, chain, checks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from supernet.files import UserError
from supernet.spec.network import BlockSpec, NetworkSpec, StemSpec
from supernet.spec.plain import PoolSpec

Stem = Literal["published", "small"]
"""`small`: 3x3 with stride 1 and no pool, for images of about 32 pixels."""

MOBILENET_STEM = 32
MOBILENET_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))
"""(output channels, blocks, stride of the first) of MobileNetV1 (arXiv 1704.04861, table 1)."""
MOBILENET_BLOCKS = tuple(
    (channels, 1 if number else stride)
    for channels, blocks, stride in MOBILENET_STAGES
    for number in range(blocks)
)
"""(output channels, stride) of its 13 blocks."""


class Image(NamedTuple):
    """Channels, and pixels a side."""

    channels: int
    size: int


def is_whole(number: object) -> bool:
    """Whether it is a whole number above 0; bool is an int in Python, but True is no number."""
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def demand_whole(where: str, **numbers: object) -> None:
    """Demand whole numbers above 0.

    Raises:
        UserError: `where`, and by its name the first that is none.
    """
    for name, number in numbers.items():
        if not is_whole(number):
            raise UserError(f"{where}: {name} is {number!r}; expected a whole number above 0")


def demand_width(where: str, width: float) -> None:
    """Demand a factor on numbers of channels.

    Raises:
        UserError: it is not finite, or not above 0.
    """
    if not math.isfinite(width) or width <= 0:
        raise UserError(f"{where}: width is {width}; expected a finite number above 0")


def scaled(channels: int, width: float) -> int:
    """A paper's number of channels, at this width.

    Raises:
        UserError: that is no whole number.
    """
    number = channels * width
    if number != int(number):
        raise UserError(
            f"width {width} makes {number:g} of {channels} channels; choose a width that gives "
            f"whole numbers"
        )
    return int(number)


@dataclass
class Chain:
    """Blocks so far, by name, and the size of the map that the last one gives.

    `width`: factor on the paper's numbers of channels.
    """

    image: Image
    width: float = 1.0
    size: int = field(init=False)
    blocks: dict[str, BlockSpec] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = self.image.size

    def scaled(self, channels: int) -> int:
        """The paper's number of channels, at this chain's width; as the function `scaled`."""
        return scaled(channels, self.width)

    def add(self, name: str, block: BlockSpec) -> None:
        """Append a block; one with an `out_size` sets the size."""
        assert name not in self.blocks, name
        self.blocks[name] = block
        self.size = getattr(block, "out_size", self.size)

    def network(self, name: str, classes: int) -> NetworkSpec:
        """The finished network."""
        names, blocks = tuple(self.blocks), tuple(self.blocks.values())
        return NetworkSpec(name, *self.image, classes, names, blocks)


def resnet_stem(image: Image, stem: Stem, width: float) -> Chain:
    """7x7 and a 3x3 max pool, both with stride 2; small: 3x3 alone. 64 channels, no ReLU."""
    chain = Chain(image, width)
    channels = chain.scaled(64)
    if stem == "small":
        chain.add("stem", StemSpec(image.channels, channels, 3, 1, image.size))
    else:
        chain.add("stem", StemSpec(image.channels, channels, 7, 2, image.size))
        chain.add("pool", PoolSpec(channels, 3, 2, 1, chain.size))
    return chain

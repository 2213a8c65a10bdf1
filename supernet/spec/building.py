"""What the builders of networks share: the image, the stem, and a chain of named blocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from supernet.files import UserError
from supernet.spec.network import BlockSpec, NetworkSpec, StemSpec
from supernet.spec.plain import PoolSpec

Stem = Literal["published", "small"]
"""`small`: 3x3 with stride 1 and no pool, for images of about 32 pixels."""


class Image(NamedTuple):
    """Channels, and pixels a side."""

    channels: int
    size: int


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
        """The paper's number of channels, at this width.

        Raises:
            UserError: that is no whole number.
        """
        scaled = channels * self.width
        if scaled != int(scaled):
            raise UserError(
                f"width {self.width} makes {scaled:g} of {channels} channels; choose a width that "
                f"gives whole numbers"
            )
        return int(scaled)

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

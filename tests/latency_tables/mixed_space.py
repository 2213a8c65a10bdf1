"""A user's own space: each position is a binary unit of some groups, or a bottleneck.

The tests that use it take the bottleneck's packed operations away.
"""

from dataclasses import dataclass
from typing import Any

from supernet.architecture import Architecture
from supernet.space import Position, SearchSpace
from supernet.spec import (
    BinaryLayerSpec,
    BinaryUnitSpec,
    BlockSpec,
    BottleneckSpec,
    HeadSpec,
    LogitsSpec,
    NetworkSpec,
    StemSpec,
)

CHANNELS = 16


@dataclass(frozen=True)
class MixedSpace(SearchSpace):
    """Three positions, 3^3 = 27 architectures, grey images of four classes."""

    size_of_image: int = 8
    binary_end: bool = False

    @property
    def positions(self) -> tuple[Position, ...]:
        return tuple(Position(f"block{number}", (1, 4, "bottleneck")) for number in (1, 2, 3))

    def decode(self, architecture: Architecture) -> NetworkSpec:
        size, channels = self.size_of_image, CHANNELS

        def block(choice: Any) -> BlockSpec:
            if choice == "bottleneck":
                return BottleneckSpec(channels, channels, 1, size, first=True, last=True)
            return BinaryUnitSpec(channels, channels, 3, 1, choice, size, "identity", "prelu")

        named = {name: block(choice) for name, choice in architecture.choices}
        named = {"stem": StemSpec(1, channels, 3, 1, size), **named}
        if self.binary_end:
            named |= {"end": BinaryLayerSpec(channels, 4, size, 0, size), "logits": LogitsSpec(4)}
        else:
            named["head"] = HeadSpec(channels, 4, size)
        return NetworkSpec("mixed", 1, size, 4, tuple(named), tuple(named.values()))

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "size_of_image": self.size_of_image,
            "binary_end": self.binary_end,
        }

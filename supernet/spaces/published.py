"""A published network as a space of one architecture, so that every stage reads it like any other.

The papers are named in `supernet/networks/`, one file a paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from supernet.architecture import Architecture
from supernet.networks import network_spec
from supernet.space import Position, SearchSpace
from supernet.spec import NetworkSpec
from supernet.spec.building import Stem


@dataclass(frozen=True)
class PublishedNetworkSpace(SearchSpace):
    """The network of that name in `supernet.networks.NETWORKS`; nothing is left to choose.

    `image_size` and `classes` are those of its paper where they are None. `stem` and `width` are
    those of `network_spec`.
    """

    name: ClassVar[str] = "network"

    network: str
    image_size: int | None = None
    classes: int | None = None
    in_channels: int = 3
    stem: Stem = "published"
    width: float = 1.0

    def __post_init__(self) -> None:
        self._spec  # refuses what the network cannot be  # noqa: B018

    @cached_property
    def _spec(self) -> NetworkSpec:
        return network_spec(
            self.network, self.image_size, self.classes, self.in_channels, self.stem, self.width
        )

    @property
    def positions(self) -> tuple[Position, ...]:
        """None."""
        return ()

    def describe(self) -> dict[str, Any]:
        """Name and all options, the paper's images and classes in numbers."""
        return {
            "name": self.name,
            "network": self.network,
            "image_size": self._spec.image_size,
            "classes": self._spec.num_classes,
            "in_channels": self.in_channels,
            "stem": self.stem,
            "width": float(self.width),
        }

    def decode(self, architecture: Architecture) -> NetworkSpec:
        """The network, whatever the (empty) architecture."""
        return self._spec

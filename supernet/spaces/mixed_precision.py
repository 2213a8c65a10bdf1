"""Mixed precision: the bits of each layer's weights and activations are chosen.

"Single Path One-Shot Neural Architecture Search with Uniform Sampling" (Guo et al., ECCV 2020,
arXiv 1904.00420), section 3.4; no code of it was released. Layers and topology are this project's:
1 bit is Bi-Real Net's binary layer, so that binary layers are choices among others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

from supernet.architecture import Architecture
from supernet.files import UserError
from supernet.networks import network_spec
from supernet.space import Position, SearchSpace
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spec import BinaryUnitSpec, BlockSpec, NetworkSpec, QuantisedUnitSpec
from supernet.spec.building import Stem
from supernet.spec.quantised import BITS

Topology = Literal["resnet18", "resnet34", "mobilenet"]
PAIRS = ((1, 1), (2, 2), (4, 4))


@dataclass(frozen=True)
class MixedPrecision(SearchSpace):
    """A network of Bi-Real Net's form, or the binary MobileNet, whose units choose their bits.

    One position a unit, by its block's name; choice `2w4a`: weights of 2 bits, activations of 4.
    `bits` are the (weight, activation) pairs to choose from, out of 1, 2, 3, 4, 8 and 32. Stem,
    head and the 1x1 convolutions of shortcuts have 32. Stem `small` is for images of about 32
    pixels: 3x3 with stride 1, no pool.
    """

    name: ClassVar[str] = "mixed-precision"

    network: Topology = "resnet18"
    image_size: int = 224
    classes: int = 1000
    in_channels: int = 3
    width: float = 1.0
    stem: Stem = "published"
    bits: tuple[tuple[int, int], ...] = PAIRS

    def __post_init__(self) -> None:
        if self.network not in get_args(Topology):
            raise UserError(
                f"space '{self.name}': no network '{self.network}'; there are "
                f"{', '.join(get_args(Topology))}"
            )
        if self.stem not in get_args(Stem):
            raise UserError(
                f"space '{self.name}': no stem '{self.stem}'; there are {', '.join(get_args(Stem))}"
            )
        for pair in self.bits:
            if len(pair) != 2 or any(isinstance(n, bool) or n not in BITS for n in pair):
                raise UserError(
                    f"space '{self.name}': bits: {list(pair)} is no pair of bits; expected "
                    f"[weight, activation], each one of {', '.join(map(str, BITS))}"
                )
        if not self.bits or len(set(self.bits)) < len(self.bits):
            raise UserError(f"space '{self.name}': bits must hold distinct pairs, at least one")
        self._binary  # refuses what the network cannot be  # noqa: B018

    @cached_property
    def _binary(self) -> NetworkSpec:
        """The network with all its units binary."""
        try:
            return replace(self._topology(), name=self.name)
        except UserError as error:
            raise UserError(f"space '{self.name}': {error}") from error

    def _topology(self) -> NetworkSpec:
        if self.network == "mobilenet":
            chain = MobileNetGroups(
                self.image_size,
                self.classes,
                self.in_channels,
                self.width,
                stem_stride=1 if self.stem == "small" else 2,
                groups=(1,),
            )
            return chain.decode(chain.first())
        named = {"resnet18": "bireal-18", "resnet34": "bireal-34"}[self.network]
        return network_spec(
            named, self.image_size, self.classes, self.in_channels, self.stem, self.width
        )

    @cached_property
    def _pairs(self) -> dict[str, tuple[int, int]]:
        """The pair of each choice."""
        return {f"{weight}w{activation}a": (weight, activation) for weight, activation in self.bits}

    @cached_property
    def _units(self) -> dict[str, Mapping[str, BlockSpec]]:
        """The alternatives of each unit, by choice."""
        named = zip(self._binary.block_names, self._binary.blocks, strict=True)
        return {
            name: {choice: _with_bits(block, *pair) for choice, pair in self._pairs.items()}
            for name, block in named
            if isinstance(block, BinaryUnitSpec)
        }

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """`stage1_unit1`, ...; of the MobileNet `block1_spatial`, `block1_pointwise`, ..."""
        return tuple(Position(name, tuple(self._pairs), "bits") for name in self._units)

    def describe(self) -> dict[str, Any]:
        """Name and all options; tuples as JSON lists."""
        options = asdict(self)
        options["bits"] = [list(pair) for pair in self.bits]
        return {"name": self.name, **options, "width": float(self.width)}

    def decode(self, architecture: Architecture) -> NetworkSpec:
        """The network with each unit's operands of its choice's bits."""
        named = zip(self._binary.block_names, self._binary.blocks, strict=True)
        blocks = tuple(
            self._units[name][str(architecture[name])] if name in self._units else block
            for name, block in named
        )
        return replace(self._binary, blocks=blocks)

    def uniform_architectures(self) -> dict[str, Architecture]:
        """`uniform 1w1a` and so on: the same bits in every unit."""
        return {f"uniform {choice}": self._uniform(choice) for choice in self._pairs}

    def largest(self) -> Architecture:
        """Every unit of most bits: those of a multiply-add, of equal ones those of the weights."""
        return self._uniform(max(self._pairs, key=self._rank))

    def _rank(self, choice: str) -> tuple[int, int]:
        weight, activation = self._pairs[choice]
        return weight * activation, weight

    def _uniform(self, choice: str) -> Architecture:
        return self.architecture({position.name: choice for position in self.positions})


def _with_bits(unit: BinaryUnitSpec, weight: int, activation: int) -> BlockSpec:
    if weight == activation == 1:
        return unit
    return QuantisedUnitSpec.of(unit, weight, activation)

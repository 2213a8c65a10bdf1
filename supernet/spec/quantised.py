"""A unit whose convolution has a few bits, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from supernet.spec.layers import Activation, ClipSpec, ConvSpec, LayerSpec
from supernet.spec.units import BinaryUnitSpec, Shortcut

BITS = (1, 2, 3, 4, 8, 32)
"""What an operand can have; 1: a sign, 32: not quantised."""


@dataclass(frozen=True)
class QuantisedUnitSpec:
    """A binary unit with operands of more bits: one convolution with a shortcut around it.

    y = activation(norm(conv(q(x))) + shortcut(x)). Weights: of 1 bit those of a binary unit, of 2
    to 8 DoReFa's, of 32 as they are. q: of 1 bit a binary unit's sign, of 2 to 8 PACT's, which
    learns a clip value, of 32 ReLU, PACT's limit. With 1 bit each it is a `BinaryUnitSpec`, and
    must be written so, as that is what can be packed. A shortcut's 1x1 convolution has 32 bits.
    """

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    groups: int
    in_size: int
    shortcut: Shortcut
    activation: Activation
    weight_bits: int
    activation_bits: int

    def __post_init__(self) -> None:
        for what in ("weight_bits", "activation_bits"):
            if (bits := getattr(self, what)) not in BITS:
                raise ValueError(f"{what} is {bits}, expected one of {', '.join(map(str, BITS))}")
        if self.weight_bits == self.activation_bits == 1:
            raise ValueError("a unit of 1-bit weights and activations is a BinaryUnitSpec")
        self.binary  # refuses what no unit can be  # noqa: B018

    @classmethod
    def of(cls, unit: BinaryUnitSpec, weight_bits: int, activation_bits: int) -> QuantisedUnitSpec:
        """The same unit with operands of that many bits; it has no RSign, nor any later option."""
        own = {one.name for one in fields(cls)}
        for one in fields(unit):
            if one.name not in own and getattr(unit, one.name) != one.default:
                raise ValueError(f"a quantised unit has no {one.name}")
        same = {one.name: getattr(unit, one.name) for one in fields(unit) if one.name in own}
        return cls(**same, weight_bits=weight_bits, activation_bits=activation_bits)

    @property
    def binary(self) -> BinaryUnitSpec:
        """The same unit with operands of 1 bit."""
        both = {one.name for one in fields(self)} & {one.name for one in fields(BinaryUnitSpec)}
        return BinaryUnitSpec(**{name: getattr(self, name) for name in both})

    @property
    def out_size(self) -> int:
        """Pixels a side of the output, with padding (k-1)/2."""
        return self.binary.out_size

    @property
    def has_clip(self) -> bool:
        """Whether its activations are PACT's."""
        return 2 <= self.activation_bits <= 8

    def layers(self) -> tuple[LayerSpec, ...]:
        """The clip where there is one, and a binary unit's with the convolution's own bits."""
        clip: tuple[LayerSpec, ...] = (ClipSpec("clip"),) if self.has_clip else ()
        return (*clip, *map(self._with_bits, self.binary.layers()))

    def _with_bits(self, layer: LayerSpec) -> LayerSpec:
        if not isinstance(layer, ConvSpec) or not layer.is_binary:
            return layer
        return replace(layer, weight_bits=self.weight_bits, activation_bits=self.activation_bits)

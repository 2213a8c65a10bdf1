"""The layers that blocks are made of, as plain data: what costs count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Rectifier = Literal["none", "relu", "relu6"]
"""relu6 is min(max(x, 0), 6)."""


@dataclass(frozen=True)
class ConvNormSpec:
    """y = rectifier(norm(conv(x))), with padding (k-1)/2: a step of a branch or chain."""

    conv: ConvSpec
    rectifier: Rectifier

    def layers(self) -> tuple[LayerSpec, ...]:
        """Convolution, norm."""
        return (self.conv, NormSpec("norm", self.conv.out_channels))


def pointwise(
    before: int, after: int, out_size: int, rectifier: Rectifier, stride: int = 1
) -> ConvNormSpec:
    """A step of kernel 1."""
    return ConvNormSpec(ConvSpec("conv", before, after, 1, stride, 1, out_size), rectifier)


def depthwise(
    channels: int, kernel_size: int, stride: int, out_size: int, rectifier: Rectifier
) -> ConvNormSpec:
    """A step of one filter a channel."""
    conv = ConvSpec("conv", channels, channels, kernel_size, stride, channels, out_size)
    return ConvNormSpec(conv, rectifier)


Activation = Literal["none", "prelu", "rprelu"]


@dataclass(frozen=True)
class ConvSpec:
    """A convolution without bias, with the size (height = width) of its output in pixels."""

    name: str
    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    groups: int
    out_size: int
    weight_bits: int = 32
    activation_bits: int = 32

    def __post_init__(self) -> None:
        for what in (self.in_channels, self.out_channels):
            if what % self.groups:
                raise ValueError(f"{self.name}: {self.groups} groups do not divide {what} channels")

    @property
    def num_weights(self) -> int:
        """Weights of the kernel: out x in/groups x k x k."""
        return self.out_channels * (self.in_channels // self.groups) * self.kernel_size**2

    @property
    def is_binary(self) -> bool:
        """Both operands are 1-bit."""
        return self.weight_bits == 1 and self.activation_bits == 1


@dataclass(frozen=True)
class LinearSpec:
    """A fully connected layer, real-valued."""

    name: str
    in_features: int
    out_features: int
    bias: bool = True


@dataclass(frozen=True)
class NormSpec:
    """BatchNorm over channels, with a learned shift and, unless `factor` is false, factor each."""

    name: str
    channels: int
    factor: bool = True


@dataclass(frozen=True)
class ShiftSpec:
    """A learned number a channel that is added: RSign's."""

    name: str
    channels: int


@dataclass(frozen=True)
class ActivationSpec:
    """A learned activation: PReLU has one parameter a channel, RPReLU three."""

    name: str
    kind: Activation
    channels: int


@dataclass(frozen=True)
class ClipSpec:
    """One learned number, at which activations are clipped: PACT's."""

    name: str


LayerSpec = ConvSpec | LinearSpec | NormSpec | ShiftSpec | ActivationSpec | ClipSpec


def within(prefix: str, layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    """The layers of a part of a block: `prefix.` before their names."""
    return tuple(replace(layer, name=f"{prefix}.{layer.name}") for layer in layers)

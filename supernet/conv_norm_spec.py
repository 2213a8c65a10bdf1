"""Convolution, BatchNorm and a rectifier, as plain data: what real-valued blocks are chains of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from supernet.layer_spec import ConvSpec, LayerSpec, NormSpec

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

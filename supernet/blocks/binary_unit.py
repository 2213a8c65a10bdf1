"""The binary unit: one binary convolution, its norm, a shortcut around both, an activation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from supernet.binarization import Binarization
from supernet.blocks.block import BinaryBlock, Compute
from supernet.layers.binary_conv import BinaryConv2d, LatentConv2d, Precision
from supernet.layers.rprelu import RPReLU
from supernet.layers.rsign import RSign
from supernet.spec import BinaryUnitSpec, RealDoublingSpec


class Duplicate(nn.Module):
    """The input twice along channels: the parameter-free shortcut of a doubling unit."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], dim=1)


class Cycle(nn.Module):
    """Input channels in a circle, as many as wanted: y_c = x_(c mod C); no parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return cycled(x, self.channels)


def cycled(x: Tensor, channels: int) -> Tensor:
    """y_c = x_(c mod C) for `channels` channels, (N, C, H, W) -> (N, channels, H, W)."""
    if channels <= x.shape[1]:
        return x[:, :channels]
    return torch.cat([x] * -(-channels // x.shape[1]), 1)[:, :channels]


class ConvShortcut(nn.Module):
    """2x2 average pooling where the unit has stride 2, a real 1x1 convolution, BatchNorm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.pool = halving_pool() if stride == 2 else nn.Identity()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.pool(x)))


def halving_pool() -> nn.Module:
    """2x2 average; an odd side rounds up, as a padded stride-2 convolution does."""
    return nn.AvgPool2d(2, 2, ceil_mode=True)


def build_shortcut(spec: BinaryUnitSpec) -> nn.Module:
    """The module of `spec.shortcut`."""
    match spec.shortcut:
        case "identity":
            return nn.Identity()
        case "pool":
            return halving_pool()
        case "duplicate":
            return Duplicate()
        case "cycle":
            return Cycle(spec.out_channels)
        case "conv":
            return ConvShortcut(spec.in_channels, spec.out_channels, spec.stride)
    raise ValueError(f"no module for shortcut '{spec.shortcut}'")


def build_activation(spec: BinaryUnitSpec | RealDoublingSpec) -> nn.Module:
    """The module of `spec.activation`."""
    match spec.activation:
        case "prelu":
            return nn.PReLU(spec.out_channels)
        case "rprelu":
            return RPReLU(spec.out_channels)
    return nn.Identity()


def build_sign(spec: BinaryUnitSpec) -> RSign | None:
    """The unit's RSign; none where its sign has no threshold."""
    return RSign(spec.in_channels) if spec.rsign else None


def build_conv(spec: BinaryUnitSpec) -> BinaryConv2d:
    """The unit's binary convolution."""
    return BinaryConv2d(
        spec.in_channels,
        spec.out_channels,
        spec.kernel_size,
        stride=spec.stride,
        padding=spec.kernel_size // 2,
        groups=spec.groups,
    )


class BinaryUnit(BinaryBlock):
    """y = activation(norm(conv(sign(x))) + shortcut(x)); shapes (N, C, H, W).

    `sign` is an RSign, or None for ApproxSign, which has no parameters. `binarization` can put
    something real in place of the signs.
    """

    def __init__(
        self,
        conv: LatentConv2d,
        norm: nn.Module,
        shortcut: nn.Module,
        activation: nn.Module,
        sign: RSign | None = None,
    ) -> None:
        super().__init__()
        self.sign = sign
        self.conv, self.norm, self.shortcut, self.activation = conv, norm, shortcut, activation
        self.compute: Compute = compute_unit

    @classmethod
    def from_spec(cls, spec: BinaryUnitSpec) -> BinaryUnit:
        """A stand-alone unit with fresh weights."""
        return cls(
            build_conv(spec),  # before the shortcut: the order in which weights are drawn
            nn.BatchNorm2d(spec.out_channels),
            build_shortcut(spec),
            build_activation(spec),
            build_sign(spec),
        )

    def set_binarization(self, binarization: Binarization) -> None:
        """Choose how the convolution is made; None leaves the unit's own."""
        super().set_binarization(binarization)
        if self.sign is not None:
            self.sign.set_binarization(binarization)

    def set_precision(self, precision: Precision) -> None:
        self.conv.precision = precision

    def compile_parts(self, compiled: Callable[[Compute], Compute]) -> None:
        self.compute = compiled(compute_unit)

    def tensors(self) -> dict[str, Tensor]:
        """The latent weight, which may be kept in a supernet."""
        return {"conv.weight": self.conv.weight.detach()}

    def put(self, name: str, tensor: Tensor) -> bool:
        return name == "conv.weight" and self.conv.put(tensor)

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        """The shortcut takes `source` where it is given, else x."""
        return self.compute(self, x, self.conv.latent(), source)


def compute_unit(
    unit: BinaryUnit, x: Tensor, latent: Tensor, source: Tensor | None = None
) -> Tensor:
    """A unit's forward pass, as a function of its own so that it can be compiled.

    torch.compile makes one graph for all units of equal shape, whichever network they are in.
    The latent weight comes from outside, so that how it is shared stays out of the graph.
    """
    function = unit.function if unit.sign is None else unit.sign
    y = unit.norm(unit.conv(function(x, unit.conv.input_dtype), latent))
    return unit.activation(y + unit.shortcut(x if source is None else source))

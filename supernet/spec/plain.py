"""Blocks without shortcuts, as plain data: the chains of BinaryNet, AlexNet and XNOR-Net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from supernet.spec.layers import ConvSpec, LayerSpec, NormSpec


@dataclass(frozen=True)
class BinaryLayerSpec:
    """A convolution with binary weights, a max pool, BatchNorm: y = norm(pool(conv(sign(x)))).

    `input` real leaves the sign out (a network's first layer). `pool_size` 0 leaves the pool out;
    it has stride 2 and no padding. BatchNorm has no learned factor: the next layer takes signs. A
    `relu` follows for a real reader. A fully connected layer of BinaryNet is one whose kernel is as
    large as the map.
    """

    in_channels: int
    out_channels: int
    kernel_size: int
    padding: int
    in_size: int
    stride: int = 1
    input: Literal["sign", "real"] = "sign"
    pool_size: int = 0
    relu: bool = False
    scaled: bool = False
    """The weights have XNOR-Net's scale."""
    norm_eps: float = 1e-3
    norm_momentum: float = 0.1
    """torch's: the share of the newest batch."""

    def __post_init__(self) -> None:
        if self.in_size + 2 * self.padding < self.kernel_size or self.conv_size < self.pool_size:
            raise ValueError(
                f"a map of {self.in_size} x {self.in_size} is too small for a kernel of "
                f"{self.kernel_size} and a pool of {self.pool_size}"
            )

    @property
    def conv_size(self) -> int:
        """Pixels a side of the convolution's output."""
        return (self.in_size + 2 * self.padding - self.kernel_size) // self.stride + 1

    @property
    def out_size(self) -> int:
        """Pixels a side of the output; windows of the pool end inside the map."""
        return (self.conv_size - self.pool_size) // 2 + 1 if self.pool_size else self.conv_size

    def layers(self) -> tuple[LayerSpec, ...]:
        """Convolution, norm."""
        conv = ConvSpec(
            "conv",
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            1,
            self.conv_size,
            weight_bits=1,
            activation_bits=1 if self.input == "sign" else 32,
        )
        return (conv, NormSpec("norm", self.out_channels, factor=False))


@dataclass(frozen=True)
class PoolSpec:
    """Max pool whose windows end inside the padded map, then BatchNorm without factor if `norm`."""

    channels: int
    kernel_size: int
    stride: int
    padding: int
    in_size: int
    norm: bool = False
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.in_size + 2 * self.padding < self.kernel_size:
            raise ValueError(
                f"a map of {self.in_size} x {self.in_size} is too small for a pool of "
                f"{self.kernel_size}"
            )

    @property
    def out_size(self) -> int:
        """Pixels a side of the output."""
        return (self.in_size + 2 * self.padding - self.kernel_size) // self.stride + 1

    def layers(self) -> tuple[LayerSpec, ...]:
        """Norm, if any."""
        return (NormSpec("norm", self.channels, factor=False),) if self.norm else ()


@dataclass(frozen=True)
class LogitsSpec:
    """The values of a 1 x 1 map as logits: the end of a network whose last layer is binary."""

    num_classes: int

    def layers(self) -> tuple[LayerSpec, ...]:
        """None."""
        return ()

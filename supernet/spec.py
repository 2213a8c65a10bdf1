"""What a network is, as plain data: ordered blocks with shapes, groups, bits and strides.

Every reader works from these: costs, the torch module, the supernet, the packed model. A network
is a chain of blocks; a block takes one tensor and gives one. `layers()` lists what a block
contains in the order of execution, so that costs need not know the kinds of block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shortcut = Literal["none", "identity", "pool", "duplicate", "conv"]
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
    """A fully connected layer with bias, real-valued."""

    name: str
    in_features: int
    out_features: int


@dataclass(frozen=True)
class NormSpec:
    """BatchNorm over channels, with a learned factor and shift each."""

    name: str
    channels: int


@dataclass(frozen=True)
class ActivationSpec:
    """A learned activation: PReLU has one parameter a channel, RPReLU three."""

    name: str
    kind: Activation
    channels: int


LayerSpec = ConvSpec | LinearSpec | NormSpec | ActivationSpec


@dataclass(frozen=True)
class StemSpec:
    """Real k x k convolution and BatchNorm, no activation."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    in_size: int

    @property
    def out_size(self) -> int:
        """Pixels a side of the output, with padding (k-1)/2."""
        return -(-self.in_size // self.stride)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Convolution, norm."""
        return (
            ConvSpec(
                "conv",
                self.in_channels,
                self.out_channels,
                self.kernel_size,
                self.stride,
                1,
                self.out_size,
            ),
            NormSpec("norm", self.out_channels),
        )


@dataclass(frozen=True)
class BinaryUnitSpec:
    """One binary convolution with a shortcut around it (Bi-Real Net's rule).

    y = activation(norm(conv(sign(x))) + shortcut(x)). Shortcuts: identity; pool (2x2 average, for
    stride 2); duplicate (the input twice along channels); conv (2x2 average for stride 2, then a
    real 1x1 convolution and BatchNorm); none.
    """

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    groups: int
    in_size: int
    shortcut: Shortcut
    activation: Activation

    def __post_init__(self) -> None:
        wanted = {"identity": 1, "pool": 1, "duplicate": 2}.get(self.shortcut)
        if wanted is not None and self.out_channels != wanted * self.in_channels:
            raise ValueError(
                f"shortcut '{self.shortcut}' cannot turn {self.in_channels} channels "
                f"into {self.out_channels}"
            )
        if self.stride != 1 and self.shortcut in ("identity", "duplicate"):
            raise ValueError(f"shortcut '{self.shortcut}' cannot have stride {self.stride}")

    @property
    def out_size(self) -> int:
        """Pixels a side of the output, with padding (k-1)/2."""
        return -(-self.in_size // self.stride)

    @property
    def conv(self) -> ConvSpec:
        """The binary convolution."""
        return ConvSpec(
            "conv",
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.groups,
            self.out_size,
            weight_bits=1,
            activation_bits=1,
        )

    def layers(self) -> tuple[LayerSpec, ...]:
        """Binary convolution, norm, the shortcut's real convolution and norm, activation."""
        layers: list[LayerSpec] = [self.conv, NormSpec("norm", self.out_channels)]
        if self.shortcut == "conv":
            layers += [
                ConvSpec(
                    "shortcut.conv", self.in_channels, self.out_channels, 1, 1, 1, self.out_size
                ),
                NormSpec("shortcut.norm", self.out_channels),
            ]
        if self.activation != "none":
            layers.append(ActivationSpec("activation", self.activation, self.out_channels))
        return tuple(layers)


@dataclass(frozen=True)
class HeadSpec:
    """Global average pooling and a real linear layer with bias."""

    in_channels: int
    num_classes: int
    in_size: int

    def layers(self) -> tuple[LayerSpec, ...]:
        """Linear."""
        return (LinearSpec("linear", self.in_channels, self.num_classes),)


BlockSpec = StemSpec | BinaryUnitSpec | HeadSpec


@dataclass(frozen=True)
class NetworkSpec:
    """A whole network: a chain of blocks from an image to class logits.

    `block_names` name the blocks in the module (`stem`, `block3_spatial`, ...), one each.
    """

    name: str
    in_channels: int
    image_size: int
    num_classes: int
    block_names: tuple[str, ...]
    blocks: tuple[BlockSpec, ...]

    def layers(self) -> tuple[tuple[str, LayerSpec], ...]:
        """Every layer with its full name, `block name.layer name`, in the order of execution."""
        return tuple(
            (f"{name}.{layer.name}", layer)
            for name, block in zip(self.block_names, self.blocks, strict=True)
            for layer in block.layers()
        )

"""Blocks without shortcuts: a binary layer, a max pool, the end of a wholly binary network."""

from __future__ import annotations

from torch import Tensor, nn

from supernet.blocks.block import BinaryBlock, Block
from supernet.layers.binary_conv import BinaryConv2d
from supernet.layers.binary_input import BinaryInput
from supernet.layers.shift_norm import ShiftNorm
from supernet.spec import BinaryLayerSpec, LogitsSpec, PoolSpec


class BinaryLayer(BinaryBlock):
    """y = norm(pool(conv(ste_sign(x)))), the order of BinaryNet (arXiv 1602.02830), in fp32.

    (N, Cin, H, W) -> (N, Cout, H', W'). An input that is real goes in without a sign, whatever
    `binarization` says of activations.
    """

    own_input = BinaryInput(surrogate="ste")

    def __init__(self, spec: BinaryLayerSpec) -> None:
        super().__init__()
        self.is_real = spec.input == "real"
        self.conv = BinaryConv2d(
            spec.in_channels,
            spec.out_channels,
            spec.kernel_size,
            stride=spec.stride,
            padding=spec.padding,
            scaled=spec.scaled,
        )
        self.pool = nn.MaxPool2d(spec.pool_size, 2) if spec.pool_size else nn.Identity()
        self.norm = ShiftNorm(spec.out_channels, spec.norm_eps, spec.norm_momentum)
        self.activation = nn.ReLU() if spec.relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x if self.is_real else self.function(x))
        return self.activation(self.norm(self.pool(y)))


class Pool(Block):
    """Max pool, then BatchNorm where the spec has one: (N, C, H, W) -> (N, C, H', W')."""

    def __init__(self, spec: PoolSpec) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(spec.kernel_size, spec.stride, spec.padding)
        self.norm = ShiftNorm(spec.channels, spec.norm_eps) if spec.norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pool(x))


class Logits(Block):
    """(N, classes, 1, 1) -> (N, classes)."""

    def __init__(self, spec: LogitsSpec) -> None:
        super().__init__()
        self.num_classes = spec.num_classes

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)

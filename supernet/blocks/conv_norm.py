"""Convolution, BatchNorm and a rectifier: a step of real-valued blocks."""

from __future__ import annotations

from torch import Tensor, nn

from supernet.blocks.block import Block
from supernet.spec import ConvChainSpec
from supernet.spec.layers import ConvNormSpec

RECTIFIERS = {"none": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6}


class ConvNorm(nn.Module):
    """y = rectifier(norm(conv(x))): (N, Cin, H, W) -> (N, Cout, H/s, W/s)."""

    def __init__(self, spec: ConvNormSpec) -> None:
        super().__init__()
        conv = spec.conv
        self.conv = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.kernel_size // 2,
            groups=conv.groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(conv.out_channels)
        self.activation = RECTIFIERS[spec.rectifier]()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class ConvChain(Block):
    """y = activation(steps(x) + shortcut(x)): (N, Cin, H, W) -> (N, Cout, H/s, W/s).

    Without a shortcut nothing is added; the activation is a ReLU or nothing.
    """

    def __init__(self, spec: ConvChainSpec) -> None:
        super().__init__()
        self.adds = spec.shortcut != "none"
        self.steps = nn.Sequential(*map(ConvNorm, spec.steps))
        projection = spec.projection
        self.shortcut = nn.Identity() if projection is None else ConvNorm(projection)
        self.activation = nn.ReLU() if spec.relu_after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.steps(x)
        return self.activation(y + self.shortcut(x) if self.adds else y)

"""Chains of real convolutions: the blocks of MobileNetV1, MobileNetV2 and ResNet."""

from __future__ import annotations

from torch import Tensor, nn

from supernet.blocks.conv_norm import ConvNorm
from supernet.spec import ConvChainSpec


class ConvChain(nn.Module):
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

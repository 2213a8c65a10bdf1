"""The choice blocks of Single Path One-Shot (arXiv 1904.00420): ShuffleNetV2's, real-valued."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from supernet.shuffle_spec import ConvNormSpec
from supernet.spec import ShuffleBlockSpec


class ConvNorm(nn.Module):
    """Real convolution, BatchNorm, ReLU or not: (N, Cin, H, W) -> (N, Cout, H/s, W/s)."""

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
        self.activation = nn.ReLU() if spec.relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))


class ShuffleBlock(nn.Module):
    """Two parts side by side, (N, Cin, H, W) -> (N, Cout, H/s, W/s).

    Stride 1: y = concat[x_even, main(x_odd)]; stride 2: y = concat[projection(x), main(x)].
    """

    def __init__(self, spec: ShuffleBlockSpec) -> None:
        super().__init__()
        self.splits = spec.stride == 1
        self.projection = nn.Sequential(*map(ConvNorm, spec.projection))
        self.main = nn.Sequential(*map(ConvNorm, spec.main))

    def forward(self, x: Tensor) -> Tensor:
        if self.splits:
            return torch.cat([x[:, 0::2], self.main(x[:, 1::2])], 1)
        return torch.cat([self.projection(x), self.main(x)], 1)

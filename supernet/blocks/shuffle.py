"""The choice blocks of Single Path One-Shot (arXiv 1904.00420): ShuffleNetV2's, real-valued."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from supernet.blocks.block import Block
from supernet.blocks.conv_norm import ConvNorm
from supernet.spec import ShuffleBlockSpec


class ShuffleBlock(Block):
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

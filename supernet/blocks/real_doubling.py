"""The doubling unit of ReActNet-B and -C: real 1x1 convolutions in place of binary ones.

ReActNet (Liu et al., ECCV 2020, arXiv 2003.03488), section 5: B has 4 groups, C has 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from supernet.blocks.binary_unit import Duplicate, build_activation
from supernet.blocks.block import Block
from supernet.layers.rsign import RSign
from supernet.spec import RealDoublingSpec


class RealDoubling(Block):
    """y = activation(norm(concat[conv_a(x + s), conv_b(x + s)]) + concat[x, x]).

    (N, C, H, W) -> (N, 2C, H, W); s is the shift of an RSign whose sign is left out.
    """

    def __init__(self, spec: RealDoublingSpec) -> None:
        super().__init__()
        channels, groups = spec.in_channels, spec.groups
        self.shift = RSign(channels)
        self.conv_a = nn.Conv2d(channels, channels, 1, groups=groups, bias=False)
        self.conv_b = nn.Conv2d(channels, channels, 1, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(spec.out_channels)
        self.shortcut = Duplicate()
        self.activation = build_activation(spec)

    def both(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        """The convolutions, in the order of their channels."""
        return self.conv_a, self.conv_b

    def forward(self, x: Tensor) -> Tensor:
        shifted = self.shift.shifted(x)
        y = self.norm(torch.cat([conv(shifted) for conv in self.both()], 1))
        return self.activation(y + self.shortcut(x))

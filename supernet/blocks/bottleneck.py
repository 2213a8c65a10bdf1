"""The bottleneck of Bi-Real-50 and -152: every binary convolution has a shortcut of its own.

"Bi-Real Net: Binarizing Deep Network towards Real-Network Performance" (Liu et al., IJCV 2020,
arXiv 1811.01335), as in the authors' repository, folder `BiReal_50`.
Differs from the repository: its first block has a 1x1 convolution that nothing uses; left out here.
"""

from __future__ import annotations

from torch import Tensor, nn

from supernet.blocks.binary_unit import BinaryUnit, ConvShortcut, build_conv
from supernet.blocks.block import Block
from supernet.layers.binary_input import leaky_clip
from supernet.spec import BinaryUnitSpec, BottleneckSpec


class RealNarrow(nn.Module):
    """norm(conv1x1(leaky_clip(x))): the first block's first convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(leaky_clip(x)))


class Bottleneck(Block):
    """Two streams to two streams; `BottleneckSpec` has the formulas.

    Narrow (N, Cin/4, H, W) and wide (N, Cin, H, W) to (N, Cout/4, H', W') and (N, Cout, H', W').
    """

    narrow: BinaryUnit | RealNarrow

    def __init__(self, spec: BottleneckSpec) -> None:
        super().__init__()
        self.spec = spec
        before, mid, after = spec.in_channels, spec.mid_channels, spec.out_channels
        if spec.first:
            self.narrow = RealNarrow(before, mid)
        else:
            shortcut = nn.Conv2d(before // 4, mid, 1, bias=False) if spec.begins_stage else None
            self.narrow = _unit(spec.narrow, shortcut)
        self.spatial = BinaryUnit.from_spec(spec.spatial)
        wide = ConvShortcut(before, after, spec.stride) if spec.begins_stage else None
        self.wide = _unit(spec.wide, wide)

    def forward(self, streams: Tensor | tuple[Tensor, Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        if isinstance(streams, Tensor):
            x = streams
            a = self.narrow(x)
        else:
            m, x = streams
            a = self.narrow(x, m)
        m = self.spatial(a)
        x = self.wide(m, x)
        return x if self.spec.last else (m, x)


def _unit(spec: BinaryUnitSpec, shortcut: nn.Module | None) -> BinaryUnit:
    norm = nn.BatchNorm2d(spec.out_channels)
    return BinaryUnit(build_conv(spec), norm, shortcut or nn.Identity(), nn.Identity())

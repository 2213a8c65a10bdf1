"""DropBlock (arXiv 1810.12890): while a network is trained, squares of its feature maps are zero.

A window of `size` x `size` begins at a pixel with probability g, such that about a share `1 - keep`
of the pixels is lost; the rest is enlarged so that a constant map keeps its sum:

    g = (1 - keep) / size^2 * H W / ((H - size + 1) (W - size + 1))
    Forward:   y = x m,  m = kept * (pixels / pixels kept), counted over the whole batch
    Backward:  dL/dx = m dL/dy

`1 - keep` rises linearly from 0 at the first step to its value at the last. The paper draws each
channel's windows apart; here all channels of an image lose the same ones, since draws are made on
the CPU for the whole batch, so that a step means the same on every device and in any number of
processes. The paper drops in the last two stages of a ResNet; here after every block that gives a
map, but not after the first block, the stem.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from training.bounds import MAX_SIDE
from training.processes.distributed import WHOLE, Part
from training.section import Section


class DropBlockConfig(Section):
    """`keep`: share of the pixels kept at the end of training. `size`: of a window, in pixels.

    Where a map is smaller than `size`, the window is as large as the map.
    """

    keep: float = Field(0.9, gt=0, lt=1)
    size: int = Field(7, ge=1, le=MAX_SIDE)


@dataclass(frozen=True, eq=False)
class DropBlock:
    """Runs a network, a chain of blocks, and drops windows of what its blocks give.

    `progress`: of training, 0 to 1. `generator`: on the CPU; it goes on from block to block.
    """

    config: DropBlockConfig
    progress: float
    generator: torch.Generator
    part: Part = WHOLE

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        for number, block in enumerate(network.children()):
            x = block(x)
            if number > 0 and x.dim() == 4 and min(x.shape[2:]) > 1:
                x = self.drop(x)
        return x

    def drop(self, x: Tensor) -> Tensor:
        """`x`, a map (B, C, H, W), less its windows; which are drawn for the whole batch."""
        whole, height, width = len(x) * self.part.size, x.shape[2], x.shape[3]
        size = min(self.config.size, height, width)
        rows, columns = height - size + 1, width - size + 1
        share = (1 - self.config.keep) * self.progress
        rate = share / size**2 * height * width / (rows * columns)
        corners = torch.rand(whole, 1, rows, columns, generator=self.generator) < rate
        dropped = F.max_pool2d(F.pad(corners.float(), [size - 1] * 4), size, stride=1)
        kept = 1 - dropped
        kept *= kept.numel() / kept.sum().clamp(min=1)
        return x * self.part.of(kept).to(x)

"""RPReLU: PReLU with a learned shift before and after.

ReActNet (Liu et al., ECCV 2020, arXiv 2003.03488), equation 5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.layers.layer import Layer


class RPReLU(Layer):
    """Per-channel shifted PReLU.

    Forward:   y = x - gamma + zeta where x > gamma, else beta * (x - gamma) + zeta.
    Backward:  dy/dx = 1 where x > gamma, else beta;  dy/dgamma = -dy/dx;  dy/dzeta = 1;
               dy/dbeta = min(0, x - gamma).
    Shape: (N, C, H, W); `gamma`, `beta`, `zeta` are (C,), starting at 0, 0.25, 0.
    """

    shifts = ("gamma", "zeta")

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.full((channels,), 0.25))
        self.zeta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shifted = x - self.gamma.view(1, -1, 1, 1)
        return F.prelu(shifted, self.beta) + self.zeta.view(1, -1, 1, 1)

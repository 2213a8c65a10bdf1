"""RSign: sign with a learned threshold a channel.

ReActNet (Liu et al., ECCV 2020, arXiv 2003.03488), equation 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from supernet.layers.sign import SignOfZero, approx_sign


class RSign(nn.Module):
    """Sign of the input shifted by a learned number a channel.

    Forward:   y = +1 where x + beta >= 0, else -1. The paper's threshold alpha is -beta.
    Backward:  dy/dx = max(0, 2 - 2|x + beta|);  dy/dbeta = the same, summed over N, H, W.
    Shape: (N, C, H, W); `beta` is (C,), starting at 0. `zero` is sign(0).
    """

    def __init__(self, channels: int, zero: SignOfZero = 1) -> None:
        super().__init__()
        self.zero = zero
        self.beta = nn.Parameter(torch.zeros(channels))

    def shifted(self, x: Tensor) -> Tensor:
        """x + beta: what the sign is taken of."""
        return x + self.beta.view(1, -1, 1, 1)

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Signs in `dtype` (default: x's)."""
        return approx_sign(self.shifted(x), dtype or x.dtype, self.zero)

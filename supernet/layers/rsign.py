"""RSign: sign with a learned threshold a channel.

ReActNet (Liu et al., ECCV 2020, arXiv 2003.03488), equation 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from supernet.binarization import Binarization, SignOfZero, Surrogate
from supernet.layers.binary_input import BinaryInput
from supernet.layers.layer import Layer


class RSign(Layer):
    """Sign of the input shifted by a learned number a channel.

    Forward:   y = +1 where x + beta >= 0, else -1. The paper's threshold alpha is -beta.
    Backward:  dy/dx = max(0, 2 - 2|x + beta|), or another surrogate's slope at x + beta;
               dy/dbeta = the same, summed over N, H, W.
    Shape: (N, C, H, W); `beta` is (C,), starting at 0. `zero` is sign(0).
    Under real activations: y = f(x + beta).
    """

    shifts = ("beta",)

    def __init__(
        self, channels: int, zero: SignOfZero = 1, surrogate: Surrogate = "approx"
    ) -> None:
        super().__init__()
        self._own = self.function = BinaryInput(surrogate=surrogate, zero=zero)
        self.beta = nn.Parameter(torch.zeros(channels))

    @property
    def zero(self) -> SignOfZero:
        """sign(0) in force."""
        return self.function.zero

    def shifted(self, x: Tensor) -> Tensor:
        """x + beta: what the sign is taken of."""
        return x + self.beta.view(1, -1, 1, 1)

    def set_binarization(self, binarization: Binarization) -> None:
        """Choose the function of x + beta; None leaves its own surrogate and sign(0)."""
        self.function = self._own.under(binarization)

    def forward(self, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Signs in `dtype` (default: x's)."""
        return self.function(self.shifted(x), dtype)

"""Sign functions that give exactly -1 and +1, with a surrogate gradient.

Bi-Real Net (Liu et al., ECCV 2018, arXiv 1808.00278).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def hard_sign(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """+1 where x >= 0, else -1, in `dtype` (default: x's). No gradient. sign(0) is +1."""
    return (x >= 0).to(dtype or x.dtype).mul_(2).sub_(1)


class _ApproxSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(dtype) * 2 - 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        # The clamp bounds |x| first: no product of a huge x with 0 that could overflow to NaN.
        slope = 2 - 2 * x.abs().clamp(max=1)
        return grad.to(x.dtype) * slope, None


def approx_sign(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Sign with Bi-Real Net's piecewise quadratic surrogate (arXiv 1808.00278, section 3.3).

    Forward:   y = +1 where x >= 0, else -1.     Backward:  dy/dx = max(0, 2 - 2|x|).
    Shape: any; the output holds only -1 and +1, in `dtype` (default: x's). Saves x alone.
    """
    return _ApproxSign.apply(x, dtype or x.dtype)

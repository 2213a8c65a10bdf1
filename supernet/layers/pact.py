"""PACT: activations of k bits, clipped at a learned value.

"PACT: Parameterized Clipping Activation for Quantized Neural Networks" (Choi et al., arXiv
1805.06085), equations 1 to 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

FIRST_CLIP = 2.0
"""Where the clip starts: two standard deviations of what a BatchNorm gives."""

MIN_CLIP = 2.0**-10
"""A clip that is trained below it counts as it: the levels must not fall together, or turn."""


class _Pact(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, clip: Tensor, bits: int) -> Tensor:
        top = clip.clamp(min=MIN_CLIP).to(x.dtype)
        ctx.save_for_backward(x, top)
        ctx.dtype = clip.dtype
        step = top / (2**bits - 1)
        return torch.minimum(x.clamp(min=0), top).div_(step).round_().mul_(step)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, top = ctx.saved_tensors
        above = x >= top
        grad_x = grad * ((x >= 0) & ~above)
        return grad_x, (grad * above).sum().view_as(top).to(ctx.dtype), None


def pact(x: Tensor, clip: Tensor, bits: int) -> Tensor:
    """x on 2^k equally far levels from 0 to a, where a is `clip` and k `bits`.

    Forward:   y = round(min(max(x, 0), a) (2^k - 1) / a) a / (2^k - 1).
    Backward:  dy/dx = 1 where 0 <= x < a, else 0;  dy/da = 1 where x >= a, else 0, summed.
    The paper's: round passes the gradient straight through, and y's dependence on a by the
    levels' distance is left out. An a below 2^-10 counts as 2^-10, with the same gradient.
    Shapes: x any, `clip` of one element; the output is in x's dtype. Saves x.
    """
    return _Pact.apply(x, clip, bits)


class PactClip(nn.Module):
    """`pact` of `bits` bits; `weight` is its clip value a, one for the whole layer.

    The paper's L2 penalty on a is an optimiser's weight decay, where that reaches it.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.weight = nn.Parameter(torch.full((1,), FIRST_CLIP))

    def forward(self, x: Tensor) -> Tensor:
        return pact(x, self.weight, self.bits)

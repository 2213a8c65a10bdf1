"""Sign functions that give exactly -1 and +1, each with a surrogate gradient.

`ste_sign`: Binarized Neural Networks (Hubara et al., NIPS 2016, arXiv 1602.02830).
`approx_sign`: Bi-Real Net (Liu et al., ECCV 2018, arXiv 1808.00278).
`swish_sign`: SignSwish of BNN+ (Darabi et al., arXiv 1812.11800), in larq's form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from supernet.binarization import SignOfZero as SignOfZero


def hard_sign(x: Tensor, dtype: torch.dtype | None = None, zero: SignOfZero = 1) -> Tensor:
    """+1 where x > 0, -1 where x < 0, `zero` at 0; in `dtype` (default: x's). No gradient."""
    if zero == 0:
        return x.detach().sign().to(dtype or x.dtype)
    positive = x >= 0 if zero == 1 else x > 0
    return positive.to(dtype or x.dtype).mul_(2).sub_(1)


class _SteSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, zero: SignOfZero) -> Tensor:
        ctx.save_for_backward(x.abs() <= 1)  # a byte an element, in place of x
        ctx.dtype = x.dtype
        return hard_sign(x, dtype, zero)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return grad.to(ctx.dtype) * inside, None, None


def ste_sign(x: Tensor, dtype: torch.dtype | None = None, zero: SignOfZero = 1) -> Tensor:
    """Sign with the clipped straight-through gradient (arXiv 1602.02830, equation 4).

    Forward:   y = +1 where x >= 0, else -1.     Backward:  dy/dx = 1{|x| <= 1}.
    Surrogate: F(x) = clip(x, -1, 1).
    Shape: any; the output is in `dtype` (default: x's); `zero` is sign(0). Saves one byte an
    element.
    """
    return _SteSign.apply(x, dtype or x.dtype, zero)


class _ApproxSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, zero: SignOfZero) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(dtype) * 2 - 1 if zero == 1 else hard_sign(x, dtype, zero)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        # The clamp bounds |x| first: no product of a huge x with 0 that could overflow to NaN.
        slope = 2 - 2 * x.abs().clamp(max=1)
        return grad.to(x.dtype) * slope, None, None


def approx_sign(x: Tensor, dtype: torch.dtype | None = None, zero: SignOfZero = 1) -> Tensor:
    """Sign with Bi-Real Net's piecewise quadratic surrogate (arXiv 1808.00278, section 3.3).

    Forward:   y = +1 where x >= 0, else -1.     Backward:  dy/dx = max(0, 2 - 2|x|).
    Surrogate: F(x) = 2x + x^2 on [-1, 0), 2x - x^2 on [0, 1), -1 and +1 outside.
    Shape: any; the output holds only -1 and +1, in `dtype` (default: x's); `zero` is sign(0).
    Saves x alone.
    """
    return _ApproxSign.apply(x, dtype or x.dtype, zero)


SWISH_BETA = 5.0
"""larq's default steepness."""

# Beyond it the slope is below 50 * e^-50 = 1e-20; and no infinity enters 0 * infinity.
_MAX_SWISH_ARGUMENT = 50.0


class _SwishSign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype, beta: float, zero: SignOfZero) -> Tensor:
        ctx.save_for_backward(x)
        ctx.beta = beta
        return hard_sign(x, dtype, zero)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        z = (ctx.beta * x).abs().clamp(max=_MAX_SWISH_ARGUMENT)  # the slope is even in x
        # With e = exp(-z): tanh(z/2) = (1 - e) / (1 + e) and 1 + cosh(z) = (1 + e)^2 / (2e),
        # in which nothing overflows.
        e = torch.exp(-z)
        slope = 2 * ctx.beta * e * (2 - z * (1 - e) / (1 + e)) / (1 + e) ** 2
        return grad.to(x.dtype) * slope, None, None, None


def swish_sign(
    x: Tensor,
    dtype: torch.dtype | None = None,
    beta: float = SWISH_BETA,
    zero: SignOfZero = 1,
) -> Tensor:
    """Sign with the SignSwish surrogate (arXiv 1812.11800, equation 4).

    Forward:   y = +1 where x >= 0, else -1.
    Backward:  dy/dx = beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x)).
    Surrogate: F(x) = 2 s (1 + beta x (1 - s)) - 1 with s = sigmoid(beta x).
    Shape: any; the output is in `dtype` (default: x's); `zero` is sign(0). Saves x alone.
    """
    return _SwishSign.apply(x, dtype or x.dtype, beta, zero)

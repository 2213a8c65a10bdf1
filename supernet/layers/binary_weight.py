"""Latent weights to binary ones: XNOR-Net's scale, and the published weight gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from supernet.binarization import SignOfZero
from supernet.binarization import WeightGradient as WeightGradient
from supernet.layers.sign import hard_sign


class BinaryWeight(torch.autograd.Function):
    """Forward: scale * sign(W), or sign(W) alone. Backward: see `WeightGradient`.

    Where signs are asked for in another dtype than the latent weights', the scale is left out:
    the caller multiplies the convolution's output by it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        latent: Tensor,
        scale: Tensor | None,
        dtype: torch.dtype,
        weight_gradient: WeightGradient,
        scaled: bool,
        zero: SignOfZero,
    ) -> Tensor:
        ctx.save_for_backward(latent, scale)
        ctx.weight_gradient = weight_gradient
        in_forward = scaled and dtype == latent.dtype
        ctx.after = scaled and not in_forward
        signs = hard_sign(latent, dtype, zero)
        return signs * scale if in_forward and scale is not None else signs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        latent, scale = ctx.saved_tensors
        grad = grad.to(latent.dtype)
        if ctx.after:
            # The caller multiplied the convolution's output by scale, so grad holds that factor;
            # the gradient with respect to scale * sign(W) does not.
            grad = grad / scale.clamp(min=torch.finfo(scale.dtype).tiny)
        if ctx.weight_gradient != "straight":
            grad = grad * (latent.abs() <= 1)
        if ctx.weight_gradient == "magnitude":
            grad = grad * scale
        return grad, None, None, None, None, None


def weight_scale(latent: Tensor) -> Tensor:
    """Mean |W| of each output filter, detached, of shape (out, 1, 1, 1)."""
    return latent.detach().abs().mean(dim=(1, 2, 3), keepdim=True)

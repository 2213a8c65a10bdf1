"""A bf16 convolution to a small map on the CPU: its weight gradient is one matrix product."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Milliseconds of dL/dW at batch 32 on 2 AMX cores, torch's own / as one product: 3x3 to 512 maps
# of 7 x 7 15.3 / 8.2, with stride 2 10.9 / 4.9; but to 256 maps of 14 x 14 6.5 / 9.1: more patches.
MAX_SMALL_MAP = 7 * 7


def suits_small_map(x: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> bool:
    """Whether `small_map_conv2d` is the faster convolution here."""
    kernel = weight.shape[2]
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in x.shape[2:])
    is_bf16 = x.dtype == torch.bfloat16 and x.device.type == "cpu"
    return is_bf16 and groups == 1 and height * width <= MAX_SMALL_MAP


class _SmallMapConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding = [ctx.stride] * 2, [ctx.padding] * 2
        grad_x, _, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1, [True, False, False]
        )
        outputs, inputs, kernel, _ = weight.shape
        patches = (
            F.pad(x, (ctx.padding,) * 4)
            .permute(0, 2, 3, 1)
            .unfold(1, kernel, ctx.stride)
            .unfold(2, kernel, ctx.stride)  # (N, H', W', Cin, k, k)
            .permute(0, 1, 2, 4, 5, 3)  # channels last in memory, so whole rows are copied
            .reshape(-1, kernel * kernel * inputs)
        )
        grad_w = grad.permute(0, 2, 3, 1).reshape(-1, outputs).t() @ patches
        grad_w = grad_w.view(outputs, kernel, kernel, inputs).permute(0, 3, 1, 2)
        return grad_x, grad_w, None, None


def small_map_conv2d(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve without bias and groups, square kernels.

    Forward:   y[n, o, p] = sum_iq weight[o, i, q] x[n, i, stride p + q - padding].
    Backward:  dL/dweight[o, i, q] = sum_np dL/dy[n, o, p] x[n, i, stride p + q - padding]: the
               product of (Cout, N H' W') and the patches (N H' W', k k Cin). dL/dx is torch's.
    Shapes: x (N, Cin, H, W), weight (Cout, Cin, k, k), y (N, Cout, H', W').
    """
    return _SmallMapConv.apply(x, weight, stride, padding)

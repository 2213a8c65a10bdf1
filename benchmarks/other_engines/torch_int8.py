"""Chains of torch's quantized convolutions: bytes in, bytes out, oneDNN underneath."""

from __future__ import annotations

from collections.abc import Callable

import torch

from deploy.kernels.shapes import ConvShape

SCALE, ZERO = 1 / 32, 128  # of the maps: u8
WEIGHT_SCALE = 1e-3


def torch_int8_chain(shape: ConvShape, length: int) -> Callable[[], None]:
    """`length` quantized layers one after another, in torch's engine for this processor.

    Raises:
        AttributeError, RuntimeError: this torch has no quantized convolution.
    """
    torch.backends.quantized.engine = "x86"
    layers = [_packed_weight(shape) for _ in range(length)]
    size = (1, shape.in_channels, shape.height, shape.width)
    x = torch.quantize_per_tensor(torch.randn(size), SCALE, ZERO, torch.quint8)
    x = x.contiguous(memory_format=torch.channels_last)
    conv = torch.ops.quantized.conv2d

    def run() -> None:
        y = x
        for weight in layers:
            y = conv(y, weight, SCALE, ZERO)

    run()
    return run


def _packed_weight(shape: ConvShape) -> torch.ScriptObject:
    """Weights in the form that the convolution wants: s8, one scale an output channel."""
    k, channels = shape.kernel_size, shape.out_channels
    weight = torch.randn(channels, shape.group_channels, k, k) * 0.05
    scales, zeros = torch.full((channels,), WEIGHT_SCALE), torch.zeros(channels, dtype=torch.long)
    quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    strides, paddings = [shape.stride] * 2, [shape.padding] * 2
    return torch.ops.quantized.conv2d_prepack(
        quantized, torch.randn(channels), strides, paddings, [1, 1], shape.groups
    )

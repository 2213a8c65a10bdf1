"""The two real-valued ends of a network: stem and head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.blocks.block import Block, Compute
from supernet.layers.binary_conv import Precision
from supernet.layers.shift_norm import ShiftNorm
from supernet.spec import HeadSpec, StemSpec


class Stem(Block):
    """Real k x k convolution, BatchNorm, ReLU or not: (N, Cin, H, W) -> (N, Cout, H/s, W/s).

    Under the precision bf16 the convolution rounds images, weights and sums to bf16.
    """

    def __init__(self, spec: StemSpec) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            spec.in_channels,
            spec.out_channels,
            spec.kernel_size,
            spec.stride,
            spec.kernel_size // 2,
            bias=False,
        )
        norm = nn.BatchNorm2d if spec.norm_factor else ShiftNorm
        self.norm = norm(spec.out_channels)
        self.activation = nn.ReLU() if spec.relu else nn.Identity()
        self.precision: Precision = "fp32"

    def set_precision(self, precision: Precision) -> None:
        self.precision = precision

    def take_settings(self, other: Self) -> None:
        self.precision = other.precision

    def compile_parts(self, compiled: Callable[[Compute], Compute]) -> None:
        """All of it, by torch's own way for a module."""
        self.compile(dynamic=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self._convolve(x)))

    def _convolve(self, x: Tensor) -> Tensor:
        if self.precision != "bf16":
            return self.conv(x)
        low, weight = x.to(torch.bfloat16), self.conv.weight.to(torch.bfloat16)
        return F.conv2d(low, weight, None, self.conv.stride, self.conv.padding).to(x.dtype)


class Head(Block):
    """Global average pooling and a linear layer: (N, C, H, W) -> (N, classes)."""

    def __init__(self, spec: HeadSpec) -> None:
        super().__init__()
        self.linear = nn.Linear(spec.in_channels, spec.num_classes, bias=spec.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean(dim=(2, 3)))

"""Stem, head and logits as operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.lowering.folding import doubles, folded_conv, relu_as_prelu
from deploy.lowering.lowering import Lowering
from deploy.plan.plan import Operation
from supernet.spec import HeadSpec, LogitsSpec, StemSpec

if TYPE_CHECKING:
    from torch import Tensor


def lower_stem(lowering: Lowering, name: str, spec: StemSpec, module: Any) -> None:
    """One convolution."""
    k = spec.kernel_size
    kind, slope = relu_as_prelu(spec.relu, spec.out_channels)
    operation = Operation(
        name, "conv", lowering.last, spec.out_channels, k, spec.stride, k // 2, activation=kind
    )
    lowering.add(operation, *folded_conv(module.conv, module.norm), *slope)


def lower_head(lowering: Lowering, name: str, spec: HeadSpec, module: Any) -> None:
    """A pool and a linear layer."""
    channels = spec.in_channels
    pooled = lowering.add(Operation(f"{name}.pool", "global_avg_pool", lowering.last, channels))
    linear = Operation(f"{name}.linear", "linear", pooled, spec.num_classes)
    bias = np.zeros(spec.num_classes) if not spec.bias else doubles(module.linear.bias)
    lowering.add(linear, doubles(module.linear.weight), bias)


def head_by_torch(
    module: Any, spec: HeadSpec, layer: str, x: Tensor, added: Tensor | None
) -> Tensor:
    """Of its pool, or of its linear layer."""
    return x.mean(dim=(2, 3)) if layer == "pool" else module.linear(x.flatten(1))


def lower_logits(lowering: Lowering, name: str, spec: LogitsSpec, module: Any) -> None:
    """Nothing: the 1 x 1 map before it is the logits."""


def whole_by_torch(module: Any, spec: Any, layer: str, x: Tensor, added: Tensor | None) -> Tensor:
    """Of a block that is one operation."""
    return module(x)

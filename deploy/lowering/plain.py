"""Blocks without shortcuts as operations: the binary layer and the max pool."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from deploy.lowering.folding import (
    demand_binary,
    doubles,
    folded_norm,
    folded_scale,
    relu_as_prelu,
)
from deploy.lowering.lowering import Lowering
from deploy.plan.plan import Operation
from supernet.spec import BinaryLayerSpec, PoolSpec

if TYPE_CHECKING:
    from torch import Tensor


def lower_layer(lowering: Lowering, name: str, spec: BinaryLayerSpec, module: Any) -> None:
    """BatchNorm and ReLU go before the pool: neither turns the order of values around."""
    demand_binary(name, module)
    conv, (scale, bias) = module.conv, folded_scale(module)
    kind, slope = relu_as_prelu(spec.relu, spec.out_channels)
    if spec.input == "sign":
        operation = lowering.binary_conv(name, lowering.last, conv)
        lowering.add(replace(operation, activation=kind), scale, bias, *slope)
    else:
        from supernet.layers.sign import hard_sign

        weight = doubles(hard_sign(conv.latent(), zero=conv.zero)) * scale[:, None, None, None]
        operation = Operation(
            name,
            "conv",
            lowering.last,
            spec.out_channels,
            spec.kernel_size,
            spec.stride,
            spec.padding,
            activation=kind,
        )
        lowering.add(operation, weight, bias, *slope)
    if spec.pool_size:
        window = (spec.out_channels, spec.pool_size, 2)
        lowering.add(Operation(f"{name}.pool", "max_pool_inside", lowering.last, *window))


def layer_by_torch(
    module: Any, spec: BinaryLayerSpec, layer: str, x: Tensor, added: Tensor | None
) -> Tensor:
    """Of its pool, or of all the rest."""
    from supernet.layers.sign import ste_sign

    if layer == "pool":
        return module.pool(x)
    return module.activation(module.norm(module.conv(x if module.is_real else ste_sign(x))))


def lower_pool(lowering: Lowering, name: str, spec: PoolSpec, module: Any) -> None:
    """The window, then the BatchNorm where there is one."""
    window = (spec.channels, spec.kernel_size, spec.stride, spec.padding)
    lowering.add(Operation(f"{name}.pool", "max_pool_inside", lowering.last, *window))
    if spec.norm:
        factor, bias = folded_norm(module.norm)
        # A 1x1 convolution of each channel by itself.
        norm = Operation(f"{name}.norm", "conv", lowering.last, spec.channels, groups=spec.channels)
        lowering.add(norm, factor[:, None, None, None], bias)


def pool_by_torch(
    module: Any, spec: PoolSpec, layer: str, x: Tensor, added: Tensor | None
) -> Tensor:
    """Of the window, or of the BatchNorm."""
    return module.pool(x) if layer == "pool" else module.norm(x)

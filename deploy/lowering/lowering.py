"""From a trained torch network to a plan: BatchNorm and scale folded, weights as bits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deploy.kernels.bits import pack_weights
from deploy.kernels.shapes import Floats
from deploy.lowering.folding import (
    Doubles,
    activation_of,
    demand_binary,
    demand_plus_one,
    doubles,
    folded_conv,
    folded_norm,
    folded_scale,
    relu_as_prelu,
    without_groups,
)
from deploy.plan.plan import Operation
from supernet.files import UserError
from supernet.spec import (
    BinaryLayerSpec,
    BinaryUnitSpec,
    HeadSpec,
    LogitsSpec,
    PoolSpec,
    RealDoublingSpec,
    StemSpec,
)

if TYPE_CHECKING:
    pass


class Lowering:
    """Operations so far, and their parameters in the order of `Operation.real_sizes`."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.bits: list[NDArray[np.uint8]] = []
        self.reals: list[Floats] = []
        self.narrow = 0
        """The value of the narrow stream that a bottleneck gave last."""

    @property
    def last(self) -> int:
        """The value that the newest operation gives; 0, the image, before the first."""
        return len(self.operations)

    def add(self, operation: Operation, *reals: Doubles) -> int:
        """Append an operation with its real parameters; returns its value."""
        for values in reals:
            narrow = values.astype(np.float32)
            if not np.isfinite(narrow).all():
                raise UserError(f"layer '{operation.name}': a parameter is NaN or infinite")
            self.reals.append(narrow)
        self.operations.append(operation)
        return self.last

    def stem(self, name: str, spec: StemSpec, module: Any) -> None:
        k = spec.kernel_size
        kind, slope = relu_as_prelu(spec.relu, spec.out_channels)
        operation = Operation(
            name, "conv", self.last, spec.out_channels, k, spec.stride, k // 2, activation=kind
        )
        self.add(operation, *folded_conv(module.conv, module.norm), *slope)

    def binary_unit(self, name: str, spec: BinaryUnitSpec, module: Any) -> None:
        source = self.last
        self.unit(name, module, source, self.shortcut(name, spec, module.shortcut, source))

    def unit(self, name: str, module: Any, source: int, added: int | None) -> None:
        """A unit's binary convolution and all after it, its shortcut being `added`."""
        demand_binary(name, module)
        kind, parameters = activation_of(name, module.activation)
        # sign(x + beta) is +1 where x >= -beta: in IEEE arithmetic a sum is 0 only if it is exact.
        thresholds = () if module.sign is None else (-doubles(module.sign.beta),)
        if module.sign is not None:
            demand_plus_one(name, module.sign.zero)
        operation = self._binary_conv(name, source, module.conv)
        operation = replace(
            operation, add=added, activation=kind, thresholds=module.sign is not None
        )
        self.add(operation, *thresholds, *folded_scale(module), *parameters)

    def _binary_conv(self, name: str, source: int, conv: Any) -> Operation:
        """The operation of a binary convolution, whose weights are appended, and nothing more."""
        demand_plus_one(name, conv.zero)
        latent = conv.weight.detach()
        self.bits.append(pack_weights(~(latent >= 0).numpy()))
        return Operation(
            name,
            "binary_conv",
            source,
            latent.shape[0],
            latent.shape[2],
            conv.stride,
            conv.padding,
            conv.groups,
            pad_value=conv.pad_value if conv.padding else 0,
        )

    def real_doubling(self, name: str, spec: RealDoublingSpec, module: Any) -> None:
        """One convolution of both halves, its groups written out: theirs do not lie side by side.

        W (x + s) = W x + W s, so that the shift is part of the bias.
        """
        factor, bias = folded_norm(module.norm)
        halves = [without_groups(doubles(conv.weight), spec.groups) for conv in module.both()]
        weight = np.concatenate(halves) * factor[:, None]  # (2C, C)
        bias = bias + weight @ doubles(module.shift.beta)
        kind, parameters = activation_of(name, module.activation)
        source = self.last
        operation = Operation(name, "conv", source, spec.out_channels, add=source, activation=kind)
        self.add(operation, weight[:, :, None, None], bias, *parameters)

    def binary_layer(self, name: str, spec: BinaryLayerSpec, module: Any) -> None:
        """BatchNorm and ReLU go before the pool: neither turns the order of values around."""
        demand_binary(name, module)
        conv, (scale, bias) = module.conv, folded_scale(module)
        kind, slope = relu_as_prelu(spec.relu, spec.out_channels)
        if spec.input == "sign":
            operation = self._binary_conv(name, self.last, conv)
            self.add(replace(operation, activation=kind), scale, bias, *slope)
        else:
            from supernet.layers.sign import hard_sign

            weight = doubles(hard_sign(conv.weight, zero=conv.zero)) * scale[:, None, None, None]
            operation = Operation(
                name,
                "conv",
                self.last,
                spec.out_channels,
                spec.kernel_size,
                spec.stride,
                spec.padding,
                activation=kind,
            )
            self.add(operation, weight, bias, *slope)
        if spec.pool_size:
            window = (spec.out_channels, spec.pool_size, 2)
            self.add(Operation(f"{name}.pool", "max_pool_inside", self.last, *window))

    def pool(self, name: str, spec: PoolSpec, module: Any) -> None:
        window = (spec.channels, spec.kernel_size, spec.stride, spec.padding)
        self.add(Operation(f"{name}.pool", "max_pool_inside", self.last, *window))
        if spec.norm:
            factor, bias = folded_norm(module.norm)
            # A 1x1 convolution of each channel by itself.
            norm = Operation(f"{name}.norm", "conv", self.last, spec.channels, groups=spec.channels)
            self.add(norm, factor[:, None, None, None], bias)

    def shortcut(self, name: str, spec: BinaryUnitSpec, module: Any, source: int) -> int | None:
        """The value to add: the source itself where the addition takes its channels in a circle."""
        channels = spec.in_channels
        if spec.shortcut == "none":
            return None
        if spec.shortcut in ("pool", "conv") and spec.stride == 2:
            pool = Operation(f"{name}.shortcut.pool", "avg_pool", source, channels, 2, 2)
            source = self.add(pool)
        if spec.shortcut == "conv":
            conv = Operation(f"{name}.shortcut.conv", "conv", source, spec.out_channels)
            source = self.add(conv, *folded_conv(module.conv, module.norm))
        return source

    def head(self, name: str, spec: HeadSpec, module: Any) -> None:
        channels = spec.in_channels
        pooled = self.add(Operation(f"{name}.pool", "global_avg_pool", self.last, channels))
        linear = Operation(f"{name}.linear", "linear", pooled, spec.num_classes)
        bias = np.zeros(spec.num_classes) if not spec.bias else doubles(module.linear.bias)
        self.add(linear, doubles(module.linear.weight), bias)

    def logits(self, name: str, spec: LogitsSpec, module: Any) -> None:
        """Nothing: the 1 x 1 map before it is the logits."""

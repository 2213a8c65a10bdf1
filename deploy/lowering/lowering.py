"""The plan so far, and what the lowerings of several kinds of block share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.kernels.bits import weights_to_bytes
from deploy.kernels.shapes import Floats
from deploy.lowering.folding import (
    Doubles,
    activation_of,
    demand_binary,
    demand_plus_one,
    doubles,
    folded_conv,
    folded_scale,
)
from deploy.plan.plan import Operation
from supernet.files import UserError
from supernet.spec import BinaryUnitSpec


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

    def unit(self, name: str, module: Any, source: int, added: int | None) -> None:
        """A unit's binary convolution and all after it, its shortcut being `added`."""
        demand_binary(name, module)
        kind, parameters = activation_of(name, module.activation)
        # sign(x + beta) is +1 where x >= -beta: in IEEE arithmetic a sum is 0 only if it is exact.
        thresholds = () if module.sign is None else (-doubles(module.sign.beta),)
        if module.sign is not None:
            demand_plus_one(name, module.sign.zero)
        operation = self.binary_conv(name, source, module.conv)
        operation = replace(
            operation, add=added, activation=kind, thresholds=module.sign is not None
        )
        self.add(operation, *thresholds, *folded_scale(module), *parameters)

    def binary_conv(self, name: str, source: int, conv: Any) -> Operation:
        """The operation of a binary convolution, whose weights are appended, and nothing more."""
        demand_plus_one(name, conv.zero)
        latent = conv.latent().detach()
        self.bits.append(weights_to_bytes(~(latent >= 0).numpy()))
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

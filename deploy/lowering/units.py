"""Units with a shortcut as operations: the binary one, and the real one that doubles channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.lowering.folding import activation_of, doubles, folded_norm, without_groups
from deploy.lowering.lowering import Lowering
from deploy.plan.plan import Operation
from supernet.spec import BinaryUnitSpec, RealDoublingSpec

if TYPE_CHECKING:
    from torch import Tensor


def lower_unit(lowering: Lowering, name: str, spec: BinaryUnitSpec, module: Any) -> None:
    """Its shortcut, where that is an operation, then its convolution and all after it."""
    source = lowering.last
    lowering.unit(name, module, source, lowering.shortcut(name, spec, module.shortcut, source))


def unit_by_torch(
    module: Any, spec: BinaryUnitSpec, layer: str, x: Tensor, added: Tensor | None
) -> Tensor:
    """Of a part of its shortcut, or of all the rest."""
    from torch.nn import functional as F

    from supernet.blocks.binary_unit import cycled
    from supernet.layers.sign import approx_sign

    match layer:
        case "shortcut":
            return module.shortcut(x)
        case "shortcut.pool":
            return F.avg_pool2d(x, 2, 2, ceil_mode=True)
        case "shortcut.conv":
            return module.shortcut.norm(module.shortcut.conv(x))
    y = module.norm(module.conv((module.sign or approx_sign)(x)))
    if added is not None:
        y = y + cycled(added, y.shape[1])
    return module.activation(y)


def lower_doubling(lowering: Lowering, name: str, spec: RealDoublingSpec, module: Any) -> None:
    """One convolution of both halves, its groups written out: theirs do not lie side by side.

    W (x + s) = W x + W s, so that the shift is part of the bias.
    """
    factor, bias = folded_norm(module.norm)
    halves = [without_groups(doubles(conv.weight), spec.groups) for conv in module.both()]
    weight = np.concatenate(halves) * factor[:, None]  # (2C, C)
    bias = bias + weight @ doubles(module.shift.beta)
    kind, parameters = activation_of(name, module.activation)
    source = lowering.last
    operation = Operation(name, "conv", source, spec.out_channels, add=source, activation=kind)
    lowering.add(operation, weight[:, :, None, None], bias, *parameters)

"""Analytic costs of a network, counted from its spec: FLOPs, BOPs, OPs, BitOPs, parameters, bits.

Convention (the binary-network papers'): one fused multiply-add counts as one; only convolutions
and linear layers count; an operation is binary only where both operands are 1-bit;
OPs = FLOPs + BOPs/64. BitOPs (Single Path One-Shot's, arXiv 1904.00420) are multiply-adds times the
weight's bits times the activation's, 32 each where real. A weight of k bits takes k bits, every
other parameter 32.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

from supernet.costs.table import ANALYTIC
from supernet.spec import NetworkSpec
from supernet.spec.layers import (
    ActivationSpec,
    ClipSpec,
    ConvSpec,
    LayerSpec,
    LinearSpec,
    NormSpec,
    ShiftSpec,
)

ACTIVATION_PARAMETERS = {"none": 0, "prelu": 1, "rprelu": 3}
"""Learned numbers a channel: PReLU's slope; RPReLU's two shifts and slope."""

REAL_BITS = 32


@dataclass(frozen=True)
class Costs:
    """Costs of one network or layer. `flops` and `bops` are real and binary multiply-adds.

    `flops` also counts those with operands of 2 to 8 bits. `bits` is the size of the model.
    """

    flops: int = 0
    bops: int = 0
    bitops: int = 0
    parameters: int = 0
    binary_parameters: int = 0
    bits: int = 0

    @property
    def ops(self) -> int | float:
        """FLOPs + BOPs/64; whole numbers stay integers."""
        whole, rest = divmod(self.bops, 64)
        return self.flops + whole if rest == 0 else self.flops + self.bops / 64

    def __add__(self, other: Costs) -> Costs:
        return Costs(*map(operator.add, vars(self).values(), vars(other).values()))

    def as_dict(self) -> dict[str, int | float]:
        """All analytic costs by name, in the order of the table of costs."""
        return {name: getattr(self, name) for name in ANALYTIC}


def layer_cost(layer: LayerSpec) -> Costs:
    """Costs of one layer; one fused multiply-add counts as one."""
    match layer:
        case ConvSpec():
            # Cin/g * Cout * k * k multiply-adds for each of the out_size^2 output pixels.
            macs = layer.num_weights * layer.out_size**2
            return Costs(
                flops=0 if layer.is_binary else macs,
                bops=macs if layer.is_binary else 0,
                bitops=macs * layer.weight_bits * layer.activation_bits,
                parameters=layer.num_weights,
                binary_parameters=layer.num_weights if layer.weight_bits == 1 else 0,
                bits=layer.num_weights * layer.weight_bits,
            )
        case LinearSpec():
            macs = layer.in_features * layer.out_features
            multiplied = Costs(flops=macs, bitops=macs * REAL_BITS * REAL_BITS)
            return multiplied + _real_parameters(macs + layer.bias * layer.out_features)
        case NormSpec():
            return _real_parameters((1 + layer.factor) * layer.channels)
        case ShiftSpec():
            return _real_parameters(layer.channels)
        case ActivationSpec():
            return _real_parameters(ACTIVATION_PARAMETERS[layer.kind] * layer.channels)
        case ClipSpec():
            return _real_parameters(1)
    raise TypeError(f"no cost rule for {type(layer).__name__}")


def _real_parameters(count: int) -> Costs:
    return Costs(parameters=count, bits=count * REAL_BITS)


def cost(spec: NetworkSpec) -> Costs:
    """Costs of a whole network for one image; one fused multiply-add counts as one."""
    return sum((layer_cost(layer) for _, layer in spec.layers()), Costs())

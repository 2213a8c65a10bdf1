"""Analytic costs of a network: FLOPs, BOPs, OPs, parameters and bits, counted from its spec.

Convention (the binary-network papers'): one fused multiply-add counts as one; only convolutions
and linear layers count; an operation is binary only where both operands are 1-bit;
OPs = FLOPs + BOPs/64. A binary weight takes one bit, every other parameter 32.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from supernet.layer_spec import (
    ActivationSpec,
    ConvSpec,
    LayerSpec,
    LinearSpec,
    NormSpec,
    ShiftSpec,
)
from supernet.spec import NetworkSpec

ACTIVATION_PARAMETERS = {"none": 0, "prelu": 1, "rprelu": 3}
"""Learned numbers a channel: PReLU's slope; RPReLU's two shifts and slope."""

COST_NAMES = ("ops", "flops", "bops", "parameters", "binary_parameters", "bits")


@dataclass(frozen=True)
class Costs:
    """Costs of one network or layer. `flops` and `bops` are real and binary multiply-adds."""

    flops: int = 0
    bops: int = 0
    parameters: int = 0
    binary_parameters: int = 0

    @property
    def ops(self) -> int | float:
        """FLOPs + BOPs/64; whole numbers stay integers."""
        whole, rest = divmod(self.bops, 64)
        return self.flops + whole if rest == 0 else self.flops + self.bops / 64

    @property
    def bits(self) -> int:
        """Model size: 1 bit a binary weight, 32 bits any other parameter."""
        return self.binary_parameters + 32 * (self.parameters - self.binary_parameters)

    def __add__(self, other: Costs) -> Costs:
        return Costs(
            self.flops + other.flops,
            self.bops + other.bops,
            self.parameters + other.parameters,
            self.binary_parameters + other.binary_parameters,
        )

    def as_dict(self) -> dict[str, int | float]:
        """All six costs by name, in the order of `COST_NAMES`."""
        values = {**asdict(self), "ops": self.ops, "bits": self.bits}
        return {name: values[name] for name in COST_NAMES}


def layer_cost(layer: LayerSpec) -> Costs:
    """Costs of one layer; one fused multiply-add counts as one."""
    match layer:
        case ConvSpec():
            # Cin/g * Cout * k * k multiply-adds for each of the out_size^2 output pixels.
            macs = layer.num_weights * layer.out_size**2
            return Costs(
                flops=0 if layer.is_binary else macs,
                bops=macs if layer.is_binary else 0,
                parameters=layer.num_weights,
                binary_parameters=layer.num_weights if layer.weight_bits == 1 else 0,
            )
        case LinearSpec():
            macs = layer.in_features * layer.out_features
            return Costs(flops=macs, parameters=macs + layer.bias * layer.out_features)
        case NormSpec():
            return Costs(parameters=(1 + layer.factor) * layer.channels)
        case ShiftSpec():
            return Costs(parameters=layer.channels)
        case ActivationSpec():
            return Costs(parameters=ACTIVATION_PARAMETERS[layer.kind] * layer.channels)
    raise TypeError(f"no cost rule for {type(layer).__name__}")


def cost(spec: NetworkSpec) -> Costs:
    """Costs of a whole network for one image; one fused multiply-add counts as one."""
    return sum((layer_cost(layer) for _, layer in spec.layers()), Costs())

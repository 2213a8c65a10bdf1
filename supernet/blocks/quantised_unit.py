"""The quantised unit: a binary unit whose weights or activations have more than 1 bit."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn
from torch.nn import functional as F

from supernet.binarization import Binarization
from supernet.blocks.binary_unit import build_activation, build_conv, build_shortcut
from supernet.blocks.block import Block
from supernet.layers.binary_conv import LatentConv2d
from supernet.layers.binary_input import BinaryInput
from supernet.layers.dorefa import DorefaConv2d
from supernet.layers.pact import PactClip
from supernet.spec import QuantisedUnitSpec

OWN_INPUT = BinaryInput()


class QuantisedUnit(Block):
    """y = activation(norm(conv(q(x))) + shortcut(x)); shapes (N, C, H, W), in fp32.

    `QuantisedUnitSpec` says what weights and q are. Names and shapes of its parameters are those of
    a `BinaryUnit`, and `clip.weight` where activations have 2 to 8 bits.
    """

    def __init__(self, spec: QuantisedUnitSpec) -> None:
        super().__init__()
        self.weight_bits, self.activation_bits = spec.weight_bits, spec.activation_bits
        self.conv = _build_conv(spec)  # first, as in a binary unit: the order of drawn weights
        self.conv.input_bits = spec.activation_bits
        self.norm = nn.BatchNorm2d(spec.out_channels)
        self.shortcut = build_shortcut(spec.binary)
        self.activation = build_activation(spec.binary)
        self.clip = PactClip(spec.activation_bits) if spec.has_clip else None
        self.binarization, self.function = Binarization(), OWN_INPUT

    def set_binarization(self, binarization: Binarization) -> None:
        """Choose what stands in for its quantisers; None leaves the unit's own.

        Real weights are not quantised. Activations other than `binary` are that function of x in
        place of q; under `binary` the unit keeps its own q. What is said of signs, their scale and
        their border goes for operands of 1 bit: a border beside other activations is 0.
        """
        self.binarization, self.function = binarization, OWN_INPUT.under(binarization)
        if self.activation_bits > 1:
            binarization = binarization.model_copy(update={"pad_value": None})
        self.conv.set_binarization(binarization)

    def take_settings(self, other: Self) -> None:
        self.set_binarization(other.binarization)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(self._quantised(x)))
        return self.activation(y + self.shortcut(x))

    def _quantised(self, x: Tensor) -> Tensor:
        if self.activation_bits == 1 or self.binarization.activations != "binary":
            return self.function(x)
        return F.relu(x) if self.clip is None else self.clip(x)


def _build_conv(spec: QuantisedUnitSpec) -> LatentConv2d:
    if spec.weight_bits == 1:
        return build_conv(spec.binary)
    return DorefaConv2d(
        spec.in_channels,
        spec.out_channels,
        spec.kernel_size,
        spec.weight_bits,
        stride=spec.stride,
        padding=spec.kernel_size // 2,
        groups=spec.groups,
    )

"""Binary convolution: signs of the input times scaled signs of latent weights.

XNOR-Net's scale (mean absolute latent weight of a filter, arXiv 1603.05279, equation 6) with the
weight gradients of Bi-Real Net (arXiv 1808.00278) and its repositories. By default the clipped one
of the PyTorch repositories of Bi-Real Net and ReActNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.binarization import Binarization, SignOfZero, WeightGradient
from supernet.layers.binary_weight import BinaryWeight
from supernet.layers.binary_weight import weight_scale as weight_scale
from supernet.layers.layer import REAL_BITS, Layer
from supernet.layers.small_map_conv import small_map_conv2d, suits_small_map

Precision = Literal["fp32", "exact", "bf16"]
"""fp32; bf16 only where the counts are exact in it; bf16 for both operands everywhere, and for
the stem's convolution, which is real: there the forward pass is rounded too.

Exact means the forward pass: in the backward pass bf16 rounds the gradient operand. Where an
operand is real, products are not exact in bf16 and exact is fp32."""

# bf16 has 8 significant bits, so every integer up to 2^8 is exact in it; a count of n products
# of +-1 lies in [-n, n].
MAX_EXACT_BF16_COUNT = 256


def binary_conv2d(
    signs: Tensor,
    latent: Tensor,
    stride: int,
    padding: int,
    groups: int,
    *,
    weight_gradient: WeightGradient = "clip",
    scaled: bool = True,
    pad_value: SignOfZero = 0,
    zero: SignOfZero = 1,
    real_weights: bool = False,
) -> Tensor:
    """Convolve +-1 inputs with binarized weights, without bias.

    Forward:   y = conv(signs, scale * sign(W)),  scale_o = mean |W_o|, constant to the gradient;
               scale = 1 unless `scaled`. The border holds `pad_value`; sign(0) is `zero`.
    Backward:  dL/dW = dL/d(scale * sign(W)) * 1{|W| <= 1}  (not multiplied by scale), or another
               rule of `WeightGradient`.
    With `real_weights`: y = conv(signs, W), dL/dW plain; no scale, no sign.
    Shapes: signs (N, Cin, H, W) of -1 and +1; latent (Cout, Cin/groups, k, k), real; the output
    (N, Cout, H', W') has the latent weights' dtype. Where `signs` are bf16 the products are made
    in bf16 and the scale is applied after, in the latent weights' dtype.
    """
    scale = None
    if real_weights:
        weight = latent.to(signs.dtype)
    else:
        scale = weight_scale(latent) if scaled or weight_gradient == "magnitude" else None
        weight = BinaryWeight.apply(latent, scale, signs.dtype, weight_gradient, scaled, zero)
    if padding and pad_value:
        signs, padding = F.pad(signs, (padding,) * 4, value=float(pad_value)), 0
    if suits_small_map(signs, weight, stride, padding, groups):
        y = small_map_conv2d(signs, weight, stride, padding)
    else:
        y = F.conv2d(signs, weight, None, stride, padding, 1, groups)
    if signs.dtype == latent.dtype:
        return y
    y = y.to(latent.dtype)
    return y if scale is None or not scaled else y * scale.view(1, -1, 1, 1)


# Small against Adam's steps (about the learning rate each), so that early gradients still decide
# the signs. On 400 steps of a Fashion-MNIST supernet it beat 0.002 and 1/sqrt(fan in) by 5 points.
LATENT_BOUND = 0.01


def initialise_latent(weight: Tensor) -> None:
    """Zero-mean uniform latent weights in [-0.01, 0.01]: half the signs are +1."""
    nn.init.uniform_(weight, -LATENT_BOUND, LATENT_BOUND)


@dataclass(frozen=True)
class ConvOptions:
    """What `binary_conv2d` does besides its shapes; `real_input`: what it reads is no sign."""

    weight_gradient: WeightGradient = "clip"
    scaled: bool = True
    pad_value: SignOfZero = 0
    zero: SignOfZero = 1
    real_weights: bool = False
    real_input: bool = False

    def under(self, setting: Binarization) -> ConvOptions:
        """A layer's own options under a network's setting."""
        given: dict[str, Any] = {
            "weight_gradient": setting.weight_gradient,
            "scaled": setting.scaled,
            "pad_value": setting.pad_value,
            "zero": setting.sign_of_zero,
            "real_weights": setting.weights == "real",
            "real_input": setting.activations != "binary",
        }
        return replace(self, **{name: value for name, value in given.items() if value is not None})


class LatentConv2d(Layer):
    """What convolutions with latent weights have in common, however these are shared.

    `weight` is the latent weight, (Cout, Cin/groups, k, k). `options` are those now in force,
    `precision` says where bf16 is used, `input_bits` what it reads where that is no sign.
    """

    weight: Tensor

    def __init__(self, own: ConvOptions, stride: int, padding: int, groups: int) -> None:
        super().__init__()
        self._own = self.options = own
        self.stride, self.padding, self.groups = stride, padding, groups
        self.precision: Precision = "fp32"
        self.input_bits = REAL_BITS
        self.num_products = 0

    def hold_weight(self, in_channels: int, out_channels: int, kernel_size: int) -> nn.Parameter:
        """A latent weight of its own, freshly drawn, to be kept as `weight`."""
        self.num_products = in_channels // self.groups * kernel_size**2
        weight = torch.empty(out_channels, in_channels // self.groups, kernel_size, kernel_size)
        initialise_latent(weight)
        return nn.Parameter(weight)

    def latent_weights(self) -> Iterator[tuple[nn.Parameter, int]]:
        """Its own parameters: none where the weight is kept elsewhere."""
        return ((weight, self.num_products) for weight in self.parameters(recurse=False))

    def latent(self) -> Tensor:
        """What is made binary: the weight itself, unless a kind of convolution changes it first."""
        return self.weight

    def put(self, weight: Tensor) -> bool:
        """Copy a latent weight to where it is kept, if that is elsewhere; whether it is."""
        return False

    def set_binarization(self, binarization: Binarization) -> None:
        """Choose the options; None leaves the layer's own."""
        self.options = self._own.under(binarization)

    @property
    def scaled(self) -> bool:
        """Whether the weights have a scale."""
        return self.options.scaled

    @property
    def pad_value(self) -> SignOfZero:
        """What the border holds."""
        return self.options.pad_value

    @property
    def zero(self) -> SignOfZero:
        """sign(0) of the weights."""
        return self.options.zero

    @property
    def input_dtype(self) -> torch.dtype | None:
        """The dtype in which this convolution wants its inputs; None for the input's own."""
        is_binary = not (self.options.real_weights or self.options.real_input)
        exact = is_binary and self.num_products <= MAX_EXACT_BF16_COUNT
        low = self.precision == "bf16" or (self.precision == "exact" and exact)
        return torch.bfloat16 if low else None

    def _convolve(self, signs: Tensor, latent: Tensor) -> Tensor:
        return binary_conv2d(
            signs,
            latent,
            self.stride,
            self.padding,
            self.groups,
            weight_gradient=self.options.weight_gradient,
            scaled=self.options.scaled,
            pad_value=self.options.pad_value,
            zero=self.options.zero,
            real_weights=self.options.real_weights,
        )


class BinaryConv2d(LatentConv2d):
    """Binary convolution over +-1 inputs; `binary_conv2d` has the formulas and the options.

    Raises ValueError where the groups do not divide the channels, or for an unknown option.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        weight_gradient: WeightGradient = "clip",
        scaled: bool = True,
        pad_value: SignOfZero = 0,
        zero: SignOfZero = 1,
    ) -> None:
        super().__init__(
            ConvOptions(weight_gradient, scaled, pad_value, zero), stride, padding, groups
        )
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"{groups} groups do not divide {in_channels} and {out_channels}")
        if weight_gradient not in get_args(WeightGradient):
            raise ValueError(
                f"weight_gradient is {weight_gradient!r}, expected one of "
                f"{', '.join(get_args(WeightGradient))}"
            )
        for name, value in (("pad_value", pad_value), ("zero", zero)):
            if value not in get_args(SignOfZero):
                raise ValueError(f"{name} is {value!r}, expected -1, 0 or 1")
        self.weight = self.hold_weight(in_channels, out_channels, kernel_size)

    def forward(self, signs: Tensor, latent: Tensor | None = None) -> Tensor:
        """Convolve with `latent`, which a caller may have read before."""
        return self._convolve(signs, self.latent() if latent is None else latent)

"""Binary convolution: signs of the input times scaled signs of latent weights.

XNOR-Net's scale (mean absolute latent weight of a filter, arXiv 1603.05279, equation 6) with the
weight gradients of Bi-Real Net (arXiv 1808.00278) and its repositories. By default the clipped one
of the PyTorch repositories of Bi-Real Net and ReActNet.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.layers.binary_weight import BinaryWeight, WeightGradient
from supernet.layers.binary_weight import weight_scale as weight_scale
from supernet.layers.sign import SignOfZero

Precision = Literal["fp32", "exact", "bf16"]
"""fp32; bf16 only where the counts are exact in it; bf16 for every +-1 operand.

Exact means the forward pass: in the backward pass bf16 rounds the gradient operand."""

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
) -> Tensor:
    """Convolve +-1 inputs with binarized weights, without bias.

    Forward:   y = conv(signs, scale * sign(W)),  scale_o = mean |W_o|, constant to the gradient;
               scale = 1 unless `scaled`. The border holds `pad_value`; sign(0) is `zero`.
    Backward:  dL/dW = dL/d(scale * sign(W)) * 1{|W| <= 1}  (not multiplied by scale), or another
               rule of `WeightGradient`.
    Shapes: signs (N, Cin, H, W) of -1 and +1; latent (Cout, Cin/groups, k, k), real; the output
    (N, Cout, H', W') has the latent weights' dtype. Where `signs` are bf16 the products are made
    in bf16 and the scale is applied after, in the latent weights' dtype.
    """
    scale = weight_scale(latent) if scaled or weight_gradient == "magnitude" else None
    weight = BinaryWeight.apply(latent, scale, signs.dtype, weight_gradient, scaled, zero)
    if padding and pad_value:
        signs, padding = F.pad(signs, (padding,) * 4, value=float(pad_value)), 0
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


class _PrecisionRule:
    """Decides the dtype of the +-1 operands from `precision` and the number of products."""

    precision: Precision
    num_products: int

    @property
    def input_dtype(self) -> torch.dtype | None:
        """The dtype in which this convolution wants its +-1 inputs; None for the input's own."""
        exact = self.num_products <= MAX_EXACT_BF16_COUNT
        low = self.precision == "bf16" or (self.precision == "exact" and exact)
        return torch.bfloat16 if low else None


class BinaryConv2d(_PrecisionRule, nn.Module):
    """Binary convolution over +-1 inputs; `binary_conv2d` has the formulas and the options.

    Attribute `weight` holds the latent weights; `precision` says where bf16 is used.
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
        super().__init__()
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
        self.stride, self.padding, self.groups = stride, padding, groups
        self.weight_gradient, self.scaled = weight_gradient, scaled
        self.pad_value, self.zero = pad_value, zero
        self.num_products = in_channels // groups * kernel_size**2
        self.precision: Precision = "fp32"
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size)
        )
        initialise_latent(self.weight)

    def forward(self, signs: Tensor, latent: Tensor | None = None) -> Tensor:
        """Convolve with `latent`, which a caller may have read from `weight` before."""
        latent = self.weight if latent is None else latent
        return binary_conv2d(
            signs,
            latent,
            self.stride,
            self.padding,
            self.groups,
            weight_gradient=self.weight_gradient,
            scaled=self.scaled,
            pad_value=self.pad_value,
            zero=self.zero,
        )


class NestedBinaryConv2d(nn.Module):
    """One weight for several group numbers: block diagonals that lie inside one another.

    The weight between an output and an input channel means the same pair for every group number.
    It is stored in rings: `ring0` the blocks of the largest group number, each further ring what
    the next smaller group number adds around them, so that weights a path does not use have no
    gradient at all. Group numbers must divide one another in order.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        padding: int,
        groups: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.levels = tuple(sorted(groups, reverse=True))
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            if finer % coarser:
                raise ValueError(f"nested sharing: {coarser} groups do not divide {finer} groups")
        self.stride, self.padding, self.kernel_size = stride, padding, kernel_size
        self.in_channels, self.out_channels = in_channels, out_channels
        finest = self.levels[0]
        shape = (out_channels // finest, in_channels // finest, kernel_size, kernel_size)
        # Four dimensions each, (blocks x out, in, k, k), so that channels_last applies to them.
        self.rings = nn.ParameterList([nn.Parameter(torch.empty(finest * shape[0], *shape[1:]))])
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            ratio = finer // coarser
            # ratio x ratio sub-blocks a block; the ratio on the diagonal are the finer level's.
            rows = coarser * ratio * (ratio - 1) * (out_channels // finer)
            columns = in_channels // finer
            self.rings.append(nn.Parameter(torch.empty(rows, columns, kernel_size, kernel_size)))
        for ring in self.rings:
            initialise_latent(ring)

    def weight(self, groups: int) -> Tensor:
        """The latent weight of `groups` groups, (Cout, Cin/groups, k, k)."""
        blocks = self.rings[0].unflatten(0, (self.levels[0], -1))  # (groups, out, in, k, k)
        for finer, coarser, ring in zip(self.levels, self.levels[1:], self.rings[1:], strict=False):
            if finer == groups:
                break
            ratio = finer // coarser
            diagonal = blocks.unflatten(0, (coarser, ratio))
            around = ring.unflatten(0, (coarser, ratio, ratio - 1, -1))
            rows = [
                torch.cat([around[:, i, :i], diagonal[:, i : i + 1], around[:, i, i:]], dim=1)
                for i in range(ratio)
            ]
            # (coarser, row, column, out, in, k, k) -> (coarser, row x out, column x in, k, k)
            blocks = torch.stack(rows, 1).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return blocks.flatten(0, 1)


class NestedPath(_PrecisionRule, nn.Module):
    """One group number of a `NestedBinaryConv2d`, used like a `BinaryConv2d` of default options."""

    scaled, pad_value, zero = True, 0, 1

    def __init__(self, nested: NestedBinaryConv2d, groups: int) -> None:
        super().__init__()
        self._nested = (nested,)  # in a tuple: the weights are registered where they are shared
        self.stride, self.padding, self.groups = nested.stride, nested.padding, groups
        self.num_products = nested.in_channels // groups * nested.kernel_size**2
        self.precision: Precision = "fp32"

    @property
    def weight(self) -> Tensor:
        """The latent weight of this group number, (Cout, Cin/groups, k, k)."""
        return self._nested[0].weight(self.groups)

    def forward(self, signs: Tensor, latent: Tensor | None = None) -> Tensor:
        """Convolve with `latent`, which a caller may have read from `weight` before."""
        latent = self.weight if latent is None else latent
        return binary_conv2d(signs, latent, self.stride, self.padding, self.groups)

"""Weights of exactly -1 and +1, and BatchNorms that have taken their scale.

A trained network convolves with scale * sign(W), scale_o = mean |W_o|. Replacing W by its signs
alone changes the scale to 1 and breaks the network until its BatchNorms are estimated anew (issues
4, 11 and 18 of Bi-Real Net's repository). No training is needed: the norm after the convolution is
linear in the scale.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from supernet.blocks.block import BinaryBlock
from supernet.blocks.quantised_unit import QuantisedUnit
from supernet.files import UserError
from supernet.layers.sign import hard_sign
from supernet.network import Network, binary_parts, stand_alone_copy


def fold_scale(network: Network) -> Network:
    """A copy with binary weights of exactly -1 and +1 and the same outputs in evaluation mode.

    (scale c - mean) / sqrt(var + eps) = (c - mean / scale) / sqrt((var + eps) / scale^2), so
    mean' = mean / scale, var' = (var + eps) / scale^2 - eps; factor and shift stay. A max pool in
    front of the norm takes the same maximum, since scale > 0. Where scale = 0 (all weights 0) the
    norm gives a constant: that is the new shift, the factor is 0, or where there is none var' is
    infinite, and weights are +1. Computed in float64. As mean |W| of signs is 1, the copy is an
    ordinary network.

    Raises:
        UserError: a convolution that is not binary, or a weight of 0 whose sign is 0.
    """
    for name, module in network.named_modules():
        if isinstance(module, QuantisedUnit):
            raise UserError(
                f"layer '{name}' has weights of {module.weight_bits} and activations of "
                f"{module.activation_bits} bits; expected binary ones: only their scale can be "
                f"folded"
            )
    copy = stand_alone_copy(network)
    with torch.no_grad():
        for name, part in binary_parts(copy):
            _fold(name, part)
    return copy


def _fold(name: str, part: BinaryBlock) -> None:
    if not part.binarization.is_binary:
        setting = part.binarization
        raise UserError(
            f"layer '{name}' has {setting.weights} weights and {setting.activations} activations; "
            f"expected binary ones: only their scale can be folded"
        )
    weight, latent = part.conv.weight, part.conv.latent()
    scale = latent.double().abs().mean(dim=(1, 2, 3))
    signs = hard_sign(latent, zero=part.conv.zero)
    if part.conv.scaled:
        gone = _fold_into(cast(nn.BatchNorm2d, part.norm), scale)
        signs[gone] = 1
    if (signs == 0).any():
        raise UserError(f"layer '{name}' has weights of 0 whose sign is 0; expected -1 or +1")
    weight.copy_(signs)


def _fold_into(norm: nn.BatchNorm2d, scale: Tensor) -> Tensor:
    """Give `norm` the scale; returns which filters have none left (scale 0, or so small)."""
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    shifted = variance.double() + norm.eps
    new_mean, new_variance = mean.double() / scale, shifted / scale**2 - norm.eps
    # 1 / scale^2 may be too large for the norm's dtype: what is scaled by it then is nothing
    # beside the mean.
    limit = torch.finfo(variance.dtype).max
    gone = (scale == 0) | (new_variance > limit) | (new_mean.abs() > limit)
    factor = 1.0 if norm.weight is None else norm.weight.double()
    constant = norm.bias.double() - mean.double() / shifted.sqrt() * factor
    norm.bias.copy_(torch.where(gone, constant, norm.bias.double()))
    if norm.weight is None:
        new_variance[gone] = torch.inf
    else:
        norm.weight[gone] = 0
        new_variance[gone] = 1
    new_mean[gone] = 0
    mean.copy_(new_mean)
    variance.copy_(new_variance)
    return gone

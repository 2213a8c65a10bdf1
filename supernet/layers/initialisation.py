"""Rules by which the latent weights of binary convolutions are drawn."""

from __future__ import annotations

import itertools
import math
from typing import Literal, get_args

import torch
from torch import nn

from supernet.layers.binary_conv import initialise_latent
from supernet.layers.layer import Layer
from supernet.layers.sign import hard_sign

WeightRule = Literal["uniform", "kaiming", "positive", "glorot-sign"]
"""uniform: U(-0.01, 0.01), that of a fresh network.
kaiming: U(-b, b), b = 1 / sqrt(fan in), torch's for a Conv2d: for phases with real weights.
positive: U(0, 0.001), every sign +1 at first; Bi-Real Net's (arXiv 1808.00278) repository, and
step 2 of ReActNet's (arXiv 2003.03488).
glorot-sign: signs of Glorot-normal weights, sign(0) = +1; for Bop (arXiv 1906.02107)."""

POSITIVE_BOUND = 0.001


def initialise_weights(module: nn.Module, rule: WeightRule) -> None:
    """Draw all latent weights below `module` anew, from torch's global generator, in order.

    Raises:
        ValueError: an unknown rule.
    """
    if rule not in get_args(WeightRule):
        raise ValueError(f"rule is {rule!r}, expected one of {', '.join(get_args(WeightRule))}")
    layers = (part for part in module.modules() if isinstance(part, Layer))
    for weight, fan_in in itertools.chain.from_iterable(one.latent_weights() for one in layers):
        match rule:
            case "uniform":
                initialise_latent(weight)
            case "kaiming":
                nn.init.uniform_(weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
            case "positive":
                nn.init.uniform_(weight, 0, POSITIVE_BOUND)
            case "glorot-sign":
                nn.init.normal_(weight)  # the deviation is nothing to a sign
                with torch.no_grad():
                    weight.copy_(hard_sign(weight))

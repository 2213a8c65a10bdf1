"""From settings to an optimiser over a module's parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from supernet.files import UserError
from supernet.layers.layer import Layer
from supernet.layers.sign import hard_sign
from training.optim.bop import Bop
from training.optim.combined import Combined, Optimiser
from training.optim.config import Decayed, OptimiserConfig


def build_optimiser(
    module: nn.Module, config: OptimiserConfig, learning_rate: float, weight_decay: float
) -> Optimiser:
    """The optimiser of `module`'s parameters; its first groups have the learning rate.

    With `config.bop` the weights of binary convolutions are put to their signs in place, sign(0) =
    +1, and belong to Bop; it comes after the named optimiser of all other parameters.

    Raises:
        UserError: `config.bop` without a binary convolution.
    """
    decayed = decayed_names(module, config.decayed)
    if config.bop is None:
        groups = _groups(dict(module.named_parameters()), decayed, weight_decay)
        return _named_optimiser(groups, config, learning_rate)
    binary = binary_weights(module)
    if not binary:
        raise UserError("optimiser.bop: the network has no binary convolution, leave bop out")
    with torch.no_grad():
        for weight in binary:
            weight.copy_(hard_sign(weight))
    held = set(binary)
    real = {name: p for name, p in module.named_parameters() if p not in held}
    groups = _groups(real, decayed, weight_decay)
    return Combined(
        module,
        [
            _named_optimiser(groups, config, learning_rate),
            Bop(binary, config.bop.gamma, config.bop.tau),
        ],
    )


def binary_weights(module: nn.Module) -> list[nn.Parameter]:
    """The latent weights of every binary convolution below `module`, each once."""
    found: dict[nn.Parameter, None] = {}  # an ordered set
    for layer in module.modules():
        if isinstance(layer, Layer) and layer.bits == 1:
            found |= dict.fromkeys(weight for weight, _ in layer.latent_weights())
    return list(found)


def _groups(
    parameters: dict[str, nn.Parameter], decayed: set[str], weight_decay: float
) -> list[dict[str, Any]]:
    """Decayed parameters and the others, each in the module's order; an empty group is left out."""
    halves = [
        ([p for name, p in parameters.items() if name in decayed], weight_decay),
        ([p for name, p in parameters.items() if name not in decayed], 0.0),
    ]
    groups = [{"params": half, "weight_decay": amount} for half, amount in halves if half]
    return groups or [{"params": [], "weight_decay": 0.0}]  # Bop holds everything


def _named_optimiser(
    groups: list[dict[str, Any]], config: OptimiserConfig, learning_rate: float
) -> torch.optim.Optimizer:
    betas, eps = config.betas, config.eps
    match config.name:
        case "adam":
            return torch.optim.Adam(groups, learning_rate, betas, eps, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, learning_rate, betas, eps, fused=True)
        case "sgd":
            # Not the fused form, which needs every parameter to have its momentum already: in a
            # supernet one is first reached when others have been moving for long.
            return torch.optim.SGD(groups, learning_rate, config.momentum, nesterov=config.nesterov)


def decayed_names(module: nn.Module, rule: Decayed) -> set[str]:
    """Names of the parameters of `module` that `rule` decays."""
    ndims = {name: parameter.ndim for name, parameter in module.named_parameters()}
    match rule:
        case "all":
            return set(ndims)
        case "weights":
            return {name for name, ndim in ndims.items() if ndim >= 2}
        case "official":
            return {name for name, ndim in ndims.items() if ndim == 4} | _shift_names(module)


def _shift_names(module: nn.Module) -> set[str]:
    """Names of the vectors that are added to a feature map before or after a non-linearity."""
    names: set[str] = set()
    for prefix, layer in module.named_modules():
        if isinstance(layer, Layer):
            names |= {f"{prefix}.{shift}".lstrip(".") for shift in layer.shifts}
    return names

"""Which parameters weight decay pulls to zero."""

from __future__ import annotations

from torch import nn

from supernet.layers.rprelu import RPReLU
from supernet.layers.rsign import RSign
from training.optim.config import Decayed


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
        dot = f"{prefix}." if prefix else ""
        if isinstance(layer, RSign):
            names.add(f"{dot}beta")
        elif isinstance(layer, RPReLU):
            names |= {f"{dot}gamma", f"{dot}zeta"}
    return names

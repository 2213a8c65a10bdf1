"""Numbers of torch layers as an operation holds them: BatchNorm and scales folded, in doubles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deploy.plan.plan import Activation
from supernet.files import UserError

if TYPE_CHECKING:
    from torch import Tensor

Doubles = NDArray[np.float64]


def doubles(tensor: Tensor) -> Doubles:
    """The numbers of a tensor."""
    return tensor.detach().cpu().numpy().astype(np.float64)


def folded_norm(norm: Any) -> tuple[Doubles, Doubles]:
    """BatchNorm in evaluation as y = x * factor + bias, in doubles."""
    deviation = np.sqrt(doubles(norm.running_var) + float(norm.eps))
    factor = (1 if norm.weight is None else doubles(norm.weight)) / deviation
    return factor, doubles(norm.bias) - doubles(norm.running_mean) * factor


def folded_conv(conv: Any, norm: Any) -> tuple[Doubles, Doubles]:
    """Weight and bias of a convolution without bias and the BatchNorm after it."""
    factor, bias = folded_norm(norm)
    return doubles(conv.weight) * factor[:, None, None, None], bias


def folded_scale(module: Any) -> tuple[Doubles, Doubles]:
    """The weights' scale and the BatchNorm after the convolution, as factor and bias of counts."""
    from supernet.layers.binary_conv import weight_scale

    factor, bias = folded_norm(module.norm)
    if module.conv.scaled:
        factor = doubles(weight_scale(module.conv.latent())).ravel() * factor
    return factor, bias


def without_groups(weight: Doubles, groups: int) -> Doubles:
    """The (Cout, Cin) weight of a 1x1 convolution, with zeros between its groups."""
    out, width = weight.shape[:2]
    dense = np.zeros((groups, out // groups, groups, width))
    for group, block in enumerate(weight.reshape(groups, out // groups, width)):
        dense[group, :, group] = block
    return dense.reshape(out, groups * width)


def relu_as_prelu(relu: bool, channels: int) -> tuple[Activation, tuple[Doubles, ...]]:
    """ReLU is PReLU of slope 0."""
    return ("prelu", (np.zeros(channels),)) if relu else ("none", ())


def demand_plus_one(name: str, zero: int) -> None:
    """Refuse a sign whose value at 0 is not +1."""
    if zero != 1:
        raise UserError(f"block '{name}': its sign(0) is {zero}; a packed bit needs +1")


def demand_binary(name: str, module: Any) -> None:
    """Refuse a block whose convolution has real weights, or was to read real activations."""
    if not module.binarization.is_binary:
        setting = module.binarization
        raise UserError(
            f"block '{name}': it has {setting.weights} weights and {setting.activations} "
            f"activations; only binary weights and activations can be packed"
        )


def activation_of(name: str, module: Any) -> tuple[Activation, tuple[Doubles, ...]]:
    """Kind and parameters of a unit's activation."""
    from torch.nn import Identity, PReLU

    from supernet.layers.rprelu import RPReLU

    match module:
        case Identity():
            return "none", ()
        case PReLU():
            return "prelu", (doubles(module.weight),)
        case RPReLU():
            return "rprelu", tuple(map(doubles, (module.gamma, module.beta, module.zeta)))
    raise UserError(
        f"layer '{name}.activation' ({type(module).__name__}): there is no packed operation for it"
    )

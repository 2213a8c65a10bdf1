"""From a trained torch network to a plan: BatchNorm and scale folded, weights as bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deploy.packing import pack_weights
from deploy.parameters import Parameters
from deploy.plan import Activation, Operation, Plan
from deploy.preprocessing import Preprocessing
from deploy.shapes import Floats
from supernet.files import UserError
from supernet.spec import BinaryUnitSpec, BlockSpec, HeadSpec, StemSpec

if TYPE_CHECKING:
    from torch import Tensor

    from deploy.runtime import PackedNetwork
    from supernet.network import Network

Doubles = NDArray[np.float64]


def lower(network: Network) -> tuple[Plan, Parameters]:
    """The plan that computes what `network` computes in evaluation mode.

    Raises:
        UserError: a block or layer for which there is no operation, by its name; or a parameter
            that is not finite.
    """
    spec = network.spec
    lowering = _Lowering()
    for name, block in zip(spec.block_names, spec.blocks, strict=True):
        lowering.block(name, block, network.get_submodule(name))
    plan = Plan(spec.in_channels, spec.image_size, tuple(lowering.operations))
    bits = lowering.bits or [np.zeros(0, np.uint8)]
    reals = np.concatenate([part.ravel() for part in lowering.reals])
    return plan, Parameters(np.concatenate(bits), reals)


class _Lowering:
    """Operations so far, and their parameters in the order of `Operation.real_sizes`."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.bits: list[NDArray[np.uint8]] = []
        self.reals: list[Floats] = []

    @property
    def last(self) -> int:
        """The value that the newest operation gives; 0, the image, before the first."""
        return len(self.operations)

    def add(self, operation: Operation, *reals: Doubles) -> int:
        """Append an operation with its real parameters; returns its value."""
        for values in reals:
            narrow = values.astype(np.float32)
            if not np.isfinite(narrow).all():
                raise UserError(f"layer '{operation.name}': a parameter is NaN or infinite")
            self.reals.append(narrow)
        self.operations.append(operation)
        return self.last

    def block(self, name: str, spec: BlockSpec, module: Any) -> None:
        match spec:
            case StemSpec():
                self._stem(name, spec, module)
            case BinaryUnitSpec():
                self._binary_unit(name, spec, module)
            case HeadSpec():
                self._head(name, spec, module)
            case _:
                raise UserError(
                    f"block '{name}' ({type(spec).__name__}): there is no packed operation for it"
                )

    def _stem(self, name: str, spec: StemSpec, module: Any) -> None:
        k = spec.kernel_size
        operation = Operation(name, "conv", self.last, spec.out_channels, k, spec.stride, k // 2)
        self.add(operation, *_folded_conv(module.conv, module.norm))

    def _binary_unit(self, name: str, spec: BinaryUnitSpec, module: Any) -> None:
        from supernet.layers.binary_weight import weight_scale

        source = self.last
        added = self._shortcut(name, spec, module.shortcut, source)
        latent = module.conv.weight.detach()
        factor, bias = _folded_norm(module.norm)
        scale = _doubles(weight_scale(latent)).ravel() * factor
        kind, parameters = _activation(name, module.activation)
        self.bits.append(pack_weights(~(latent >= 0).numpy()))
        operation = Operation(
            name,
            "binary_conv",
            source,
            spec.out_channels,
            spec.kernel_size,
            spec.stride,
            spec.kernel_size // 2,
            spec.groups,
            added,
            kind,
        )
        self.add(operation, scale, bias, *parameters)

    def _shortcut(self, name: str, spec: BinaryUnitSpec, module: Any, source: int) -> int | None:
        """The value to add: the source itself where the addition can repeat its channels."""
        channels = spec.in_channels
        if spec.shortcut == "none":
            return None
        if spec.shortcut in ("pool", "conv") and spec.stride == 2:
            pool = Operation(f"{name}.shortcut.pool", "avg_pool", source, channels, 2, 2)
            source = self.add(pool)
        if spec.shortcut == "conv":
            conv = Operation(f"{name}.shortcut.conv", "conv", source, spec.out_channels)
            source = self.add(conv, *_folded_conv(module.conv, module.norm))
        return source

    def _head(self, name: str, spec: HeadSpec, module: Any) -> None:
        channels = spec.in_channels
        pooled = self.add(Operation(f"{name}.pool", "global_avg_pool", self.last, channels))
        linear = Operation(f"{name}.linear", "linear", pooled, spec.num_classes)
        self.add(linear, _doubles(module.linear.weight), _doubles(module.linear.bias))


def _doubles(tensor: Tensor) -> Doubles:
    return tensor.detach().cpu().numpy().astype(np.float64)


def _folded_norm(norm: Any) -> tuple[Doubles, Doubles]:
    """BatchNorm in evaluation as y = x * factor + bias, in doubles."""
    deviation = np.sqrt(_doubles(norm.running_var) + float(norm.eps))
    factor = _doubles(norm.weight) / deviation
    return factor, _doubles(norm.bias) - _doubles(norm.running_mean) * factor


def _folded_conv(conv: Any, norm: Any) -> tuple[Doubles, Doubles]:
    """Weight and bias of a convolution without bias and the BatchNorm after it."""
    factor, bias = _folded_norm(norm)
    return _doubles(conv.weight) * factor[:, None, None, None], bias


def _activation(name: str, module: Any) -> tuple[Activation, tuple[Doubles, ...]]:
    """Kind and parameters of a unit's activation."""
    from torch.nn import Identity, PReLU

    from supernet.layers.rprelu import RPReLU

    match module:
        case Identity():
            return "none", ()
        case PReLU():
            return "prelu", (_doubles(module.weight),)
        case RPReLU():
            return "rprelu", tuple(map(_doubles, (module.gamma, module.beta, module.zeta)))
    raise UserError(
        f"layer '{name}.activation' ({type(module).__name__}): there is no packed operation for it"
    )


def pack(
    network: Network, mean: tuple[float, ...], std: tuple[float, ...], class_names: tuple[str, ...]
) -> PackedNetwork:
    """Lower `network` and make it ready to run; mean and std are of pixels in [0, 1].

    Raises:
        UserError: as `lower`.
    """
    from deploy.runtime import PackedNetwork

    plan, parameters = lower(network)
    return PackedNetwork(plan, parameters, Preprocessing(mean, std), class_names)

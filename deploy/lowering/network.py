"""A whole network as a plan, by the table of how each kind of block is lowered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from deploy.lowering.bottleneck import bottleneck_by_torch, lower_bottleneck
from deploy.lowering.ends import (
    head_by_torch,
    lower_head,
    lower_logits,
    lower_stem,
    whole_by_torch,
)
from deploy.lowering.lowering import Lowering
from deploy.lowering.plain import layer_by_torch, lower_layer, lower_pool, pool_by_torch
from deploy.lowering.units import lower_doubling, lower_unit, unit_by_torch
from deploy.plan.parameters import Parameters
from deploy.plan.plan import Operation, Plan
from deploy.plan.preprocessing import Preprocessing
from supernet.files import UserError
from supernet.spec import (
    BinaryLayerSpec,
    BinaryUnitSpec,
    BlockSpec,
    BottleneckSpec,
    HeadSpec,
    LogitsSpec,
    PoolSpec,
    RealDoublingSpec,
    StemSpec,
)

if TYPE_CHECKING:
    from torch import Tensor

    from deploy.engine.packed_network import PackedNetwork
    from supernet.files.image_view import View
    from supernet.network import Network


def is_packable(block: BlockSpec) -> bool:
    """Whether there are packed operations for a block, whatever its weights."""
    return type(block) in _LOWERED


def lower(network: Network) -> tuple[Plan, Parameters]:
    """The plan that computes what `network` computes in evaluation mode.

    Raises:
        UserError: a block or layer for which there is no operation, by its name; one that is
            not binary, or whose sign(0) is not +1; or a parameter that is not finite.
    """
    spec = network.spec
    modules = map(network.get_submodule, spec.block_names)
    operations, parameters = lower_blocks(zip(spec.block_names, spec.blocks, modules, strict=True))
    return Plan(spec.in_channels, spec.image_size, operations), parameters


def lower_blocks(
    blocks: Iterable[tuple[str, BlockSpec, Any]],
) -> tuple[tuple[Operation, ...], Parameters]:
    """Operations and parameters of a chain of blocks: their names, specs and modules.

    Raises:
        UserError: as `lower`.
    """
    lowering = Lowering()
    for name, block, module in blocks:
        if not is_packable(block):
            kind = type(block).__name__
            raise UserError(f"block '{name}' ({kind}): there is no packed operation for it")
        _LOWERED[type(block)].lower(lowering, name, block, module)
    bits = lowering.bits or [np.zeros(0, np.uint8)]
    reals = [part.ravel() for part in lowering.reals] or [np.zeros(0, np.float32)]
    parameters = Parameters(np.concatenate(bits), np.concatenate(reals))
    return tuple(lowering.operations), parameters


class Lowered(NamedTuple):
    """How a kind of block becomes operations, and what torch computes for each of them.

    `lower` appends those of a block by its name, spec and module. `by_torch` computes with the
    module what its operation named `layer` does, from that one's input and what it adds.
    """

    lower: Callable[[Lowering, str, Any, Any], None]
    by_torch: Callable[[Any, Any, str, Tensor, Tensor | None], Tensor]


_LOWERED: dict[type, Lowered] = {
    BottleneckSpec: Lowered(lower_bottleneck, bottleneck_by_torch),
    StemSpec: Lowered(lower_stem, whole_by_torch),
    BinaryUnitSpec: Lowered(lower_unit, unit_by_torch),
    RealDoublingSpec: Lowered(lower_doubling, whole_by_torch),
    BinaryLayerSpec: Lowered(lower_layer, layer_by_torch),
    PoolSpec: Lowered(lower_pool, pool_by_torch),
    LogitsSpec: Lowered(lower_logits, whole_by_torch),
    HeadSpec: Lowered(lower_head, head_by_torch),
}
"""A kind of block that is not here has no operations."""


def by_torch(network: Network, operation: Operation, x: Tensor, added: Tensor | None) -> Tensor:
    """What the layers of `network` that became `operation` compute from the same input."""
    name, _, layer = operation.name.partition(".")
    block = network.spec.blocks[network.spec.block_names.index(name)]
    return _LOWERED[type(block)].by_torch(network.get_submodule(name), block, layer, x, added)


def pack(
    network: Network,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    class_names: tuple[str, ...],
    view: View | None = None,
) -> PackedNetwork:
    """Lower `network` and make it ready to run; mean and std are of pixels in [0, 1].

    `view`: how an image file becomes those pixels.

    Raises:
        UserError: as `lower`.
    """
    from deploy.engine.packed_network import PackedNetwork

    plan, parameters = lower(network)
    return PackedNetwork(plan, parameters, Preprocessing(mean, std), class_names, view)

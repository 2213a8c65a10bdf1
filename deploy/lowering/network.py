"""A whole network as a plan, by the table of how each kind of block is lowered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.lowering.bottleneck import lower_bottleneck
from deploy.lowering.lowering import Lowering
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
    from deploy.engine.packed_network import PackedNetwork
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
        _LOWERED[type(block)](lowering, name, block, module)
    bits = lowering.bits or [np.zeros(0, np.uint8)]
    reals = [part.ravel() for part in lowering.reals] or [np.zeros(0, np.float32)]
    parameters = Parameters(np.concatenate(bits), np.concatenate(reals))
    return tuple(lowering.operations), parameters


_LOWERED: dict[type, Callable[[Lowering, str, Any, Any], None]] = {
    BottleneckSpec: lower_bottleneck,
    StemSpec: Lowering.stem,
    BinaryUnitSpec: Lowering.binary_unit,
    RealDoublingSpec: Lowering.real_doubling,
    BinaryLayerSpec: Lowering.binary_layer,
    PoolSpec: Lowering.pool,
    LogitsSpec: Lowering.logits,
    HeadSpec: Lowering.head,
}
"""How each kind of block becomes operations; a kind that is not here has none."""


def pack(
    network: Network, mean: tuple[float, ...], std: tuple[float, ...], class_names: tuple[str, ...]
) -> PackedNetwork:
    """Lower `network` and make it ready to run; mean and std are of pixels in [0, 1].

    Raises:
        UserError: as `lower`.
    """
    from deploy.engine.packed_network import PackedNetwork

    plan, parameters = lower(network)
    return PackedNetwork(plan, parameters, Preprocessing(mean, std), class_names)

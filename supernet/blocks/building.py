"""The module of a block from its spec, and settings of all blocks below a module."""

from __future__ import annotations

from torch import nn

from supernet.binarization import Binarization
from supernet.blocks.binary_unit import BinaryUnit
from supernet.blocks.block import Block
from supernet.blocks.bottleneck import Bottleneck
from supernet.blocks.conv_norm import ConvChain
from supernet.blocks.ends import Head, Stem
from supernet.blocks.plain import BinaryLayer, Logits, Pool
from supernet.blocks.quantised_unit import QuantisedUnit
from supernet.blocks.real_doubling import RealDoubling
from supernet.blocks.shuffle import ShuffleBlock
from supernet.files import UserError
from supernet.layers.binary_conv import Precision
from supernet.spec import (
    BinaryLayerSpec,
    BinaryUnitSpec,
    BlockSpec,
    BottleneckSpec,
    ConvChainSpec,
    HeadSpec,
    LogitsSpec,
    OwnBlockSpec,
    PoolSpec,
    QuantisedUnitSpec,
    RealDoublingSpec,
    ShuffleBlockSpec,
    StemSpec,
)


def build_block(spec: BlockSpec) -> nn.Module:
    """The module of one block, with fresh weights.

    Raises:
        UserError: a kind of block that is neither known here nor an `OwnBlockSpec`.
    """
    match spec:
        case StemSpec():
            return Stem(spec)
        case BinaryUnitSpec():
            return BinaryUnit.from_spec(spec)
        case QuantisedUnitSpec():
            return QuantisedUnit(spec)
        case RealDoublingSpec():
            return RealDoubling(spec)
        case BottleneckSpec():
            return Bottleneck(spec)
        case ShuffleBlockSpec():
            return ShuffleBlock(spec)
        case ConvChainSpec():
            return ConvChain(spec)
        case BinaryLayerSpec():
            return BinaryLayer(spec)
        case PoolSpec():
            return Pool(spec)
        case LogitsSpec():
            return Logits(spec)
        case HeadSpec():
            return Head(spec)
        case OwnBlockSpec():
            return spec.build()
    raise UserError(
        f"no module for a block of {type(spec).__name__}; expected one of supernet.spec's, or a "
        f"frozen dataclass that subclasses its OwnBlockSpec"
    )


def set_binarization(module: nn.Module, binarization: Binarization) -> None:
    """Choose how every binary convolution of `module` is made; see `Binarization`.

    `module` is a network, a block or a supernet. What was chosen before has no effect; names and
    shapes of parameters stay. A layer that reads a real input (a first layer) still does. A
    quantised unit has its own reading of it (`QuantisedUnit.set_binarization`).
    """
    for part in module.modules():
        if isinstance(part, Block):
            part.set_binarization(binarization)


def set_precision(module: nn.Module, precision: Precision) -> None:
    """Choose where the operands of binary units and of stems below `module` are bf16."""
    for part in module.modules():
        if isinstance(part, Block):
            part.set_precision(precision)

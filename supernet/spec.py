"""What a network is, as plain data: ordered blocks with shapes, groups, bits and strides.

Every reader works from these: costs, the torch module, the supernet, the packed model. A network
is a chain of blocks; a block takes one tensor and gives one (bottlenecks pass on two). `layers()`
lists what a block contains in the order of execution, so that costs need not know the kinds of
block. Layers are in `supernet/layer_spec.py`, blocks here, in `unit_spec.py`,
`quantised_spec.py`, `plain_spec.py`, `shuffle_spec.py` and `chain_spec.py`; a user's own block
subclasses the one in `own_block.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from supernet.chain_spec import ClippedConvSpec as ClippedConvSpec
from supernet.chain_spec import ConvChainSpec as ConvChainSpec
from supernet.chain_spec import InvertedResidualSpec as InvertedResidualSpec
from supernet.chain_spec import ResidualBottleneckSpec as ResidualBottleneckSpec
from supernet.chain_spec import SeparableSpec as SeparableSpec
from supernet.layer_spec import Activation as Activation
from supernet.layer_spec import ActivationSpec as ActivationSpec
from supernet.layer_spec import ClipSpec as ClipSpec
from supernet.layer_spec import ConvSpec as ConvSpec
from supernet.layer_spec import LayerSpec as LayerSpec
from supernet.layer_spec import LinearSpec as LinearSpec
from supernet.layer_spec import NormSpec as NormSpec
from supernet.layer_spec import ShiftSpec as ShiftSpec
from supernet.own_block import OwnBlockSpec as OwnBlockSpec
from supernet.plain_spec import BinaryLayerSpec as BinaryLayerSpec
from supernet.plain_spec import LogitsSpec as LogitsSpec
from supernet.plain_spec import PoolSpec as PoolSpec
from supernet.quantised_spec import QuantisedUnitSpec as QuantisedUnitSpec
from supernet.shuffle_spec import ShuffleBlockSpec as ShuffleBlockSpec
from supernet.unit_spec import BinaryUnitSpec as BinaryUnitSpec
from supernet.unit_spec import BottleneckSpec as BottleneckSpec
from supernet.unit_spec import RealDoublingSpec as RealDoublingSpec
from supernet.unit_spec import Shortcut as Shortcut


@dataclass(frozen=True)
class StemSpec:
    """Real k x k convolution and BatchNorm, no activation unless `relu`."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    in_size: int
    relu: bool = False
    norm_factor: bool = True

    @property
    def out_size(self) -> int:
        """Pixels a side of the output, with padding (k-1)/2."""
        return -(-self.in_size // self.stride)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Convolution, norm."""
        return (
            ConvSpec(
                "conv",
                self.in_channels,
                self.out_channels,
                self.kernel_size,
                self.stride,
                1,
                self.out_size,
            ),
            NormSpec("norm", self.out_channels, self.norm_factor),
        )


@dataclass(frozen=True)
class HeadSpec:
    """Global average pooling and a real linear layer, with bias unless said."""

    in_channels: int
    num_classes: int
    in_size: int
    bias: bool = True

    def layers(self) -> tuple[LayerSpec, ...]:
        """Linear."""
        return (LinearSpec("linear", self.in_channels, self.num_classes, self.bias),)


BlockSpec = (
    StemSpec
    | BinaryUnitSpec
    | QuantisedUnitSpec
    | RealDoublingSpec
    | BottleneckSpec
    | ShuffleBlockSpec
    | ConvChainSpec
    | BinaryLayerSpec
    | PoolSpec
    | LogitsSpec
    | HeadSpec
    | OwnBlockSpec
)


@dataclass(frozen=True)
class NetworkSpec:
    """A whole network: a chain of blocks from an image to class logits.

    `block_names` name the blocks in the module (`stem`, `block3_spatial`, ...), one each.
    """

    name: str
    in_channels: int
    image_size: int
    num_classes: int
    block_names: tuple[str, ...]
    blocks: tuple[BlockSpec, ...]

    def layers(self) -> tuple[tuple[str, LayerSpec], ...]:
        """Every layer with its full name, `block name.layer name`, in the order of execution."""
        return tuple(
            (f"{name}.{layer.name}", layer)
            for name, block in zip(self.block_names, self.blocks, strict=True)
            for layer in block.layers()
        )

"""A whole network as a chain of blocks, and the stem and head that most networks have."""

from __future__ import annotations

from dataclasses import dataclass

from supernet.files.names import check_block_names
from supernet.spec.chain import (
    ConvChainSpec,
)
from supernet.spec.layers import (
    ConvSpec,
    LayerSpec,
    LinearSpec,
    NormSpec,
)
from supernet.spec.own import OwnBlockSpec
from supernet.spec.plain import BinaryLayerSpec, LogitsSpec, PoolSpec
from supernet.spec.quantised import QuantisedUnitSpec
from supernet.spec.shuffle import ShuffleBlockSpec
from supernet.spec.units import BinaryUnitSpec, BottleneckSpec, RealDoublingSpec


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

    Raises:
        UserError: a name that no block can have.
    """

    name: str
    in_channels: int
    image_size: int
    num_classes: int
    block_names: tuple[str, ...]
    blocks: tuple[BlockSpec, ...]

    def __post_init__(self) -> None:
        check_block_names(self.block_names)

    def layers(self) -> tuple[tuple[str, LayerSpec], ...]:
        """Every layer with its full name, `block name.layer name`, in the order of execution."""
        return tuple(
            (f"{name}.{layer.name}", layer)
            for name, block in zip(self.block_names, self.blocks, strict=True)
            for layer in block.layers()
        )

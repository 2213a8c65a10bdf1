"""What can be asked of a block of any kind, so that nothing else need know its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

from torch import Tensor, nn

from supernet.binarization import Binarization
from supernet.layers.binary_conv import LatentConv2d, Precision
from supernet.layers.binary_input import BinaryInput

Compute = Callable[..., Tensor]


class Block(nn.Module):
    """A block of a network; by default it has no settings, and all its tensors are its own.

    A user's own block need not be one: it is then left as it is, and the blocks in it are not.
    """

    def set_binarization(self, binarization: Binarization) -> None:
        """Choose how its binary convolutions are made; None leaves their own."""

    def set_precision(self, precision: Precision) -> None:
        """Choose where its operands are bf16."""

    def take_settings(self, other: Self) -> None:
        """Be set as `other` is, a block of the same kind."""

    def compile_parts(self, compiled: Callable[[Compute], Compute]) -> None:
        """Compile what of it is worth it; all blocks share what `compiled` makes of a function."""

    def tensors(self) -> dict[str, Tensor]:
        """What the stand-alone block's state dict has and its own lacks, or has elsewhere."""
        return {}

    def put(self, name: str, tensor: Tensor) -> bool:
        """Copy one of these to where it lives; whether there is such a place."""
        return False


class BinaryBlock(Block):
    """A block around one binary convolution, `conv`, and the BatchNorm after it, `norm`.

    `binarization` is the setting in force, `function` what the convolution then reads of its input.
    """

    own_input: ClassVar[BinaryInput] = BinaryInput()

    conv: LatentConv2d
    norm: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.binarization, self.function = Binarization(), self.own_input

    def set_binarization(self, binarization: Binarization) -> None:
        """Choose how the convolution is made; None leaves the block's own."""
        self.binarization, self.function = binarization, self.own_input.under(binarization)
        self.conv.set_binarization(binarization)

    def take_settings(self, other: Self) -> None:
        self.conv.precision = other.conv.precision
        self.set_binarization(other.binarization)

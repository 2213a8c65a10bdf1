"""Chains of real convolutions with at most one shortcut around all of them, as plain data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from supernet.spec.layers import ConvNormSpec, ConvSpec, LayerSpec, depthwise, pointwise, within

ChainShortcut = Literal["none", "identity", "conv"]


@dataclass(frozen=True)
class ConvChainSpec(ABC):
    """y = activation(steps(x) + shortcut(x)), where the activation is a ReLU or nothing.

    Shortcuts: none; identity; conv (a 1x1 convolution of the block's stride, BatchNorm).
    """

    in_channels: int
    out_channels: int
    stride: int
    in_size: int
    shortcut: ChainShortcut = "none"

    relu_after: ClassVar[bool] = False

    def __post_init__(self) -> None:
        same = self.in_channels == self.out_channels and self.stride == 1
        if self.shortcut == "identity" and not same:
            raise ValueError(
                f"shortcut 'identity' cannot turn {self.in_channels} channels into "
                f"{self.out_channels} with stride {self.stride}"
            )

    @property
    def out_size(self) -> int:
        """Pixels a side of the output, with padding (k-1)/2."""
        return -(-self.in_size // self.stride)

    @property
    @abstractmethod
    def steps(self) -> tuple[ConvNormSpec, ...]:
        """The convolutions, in the order of execution."""

    @property
    def projection(self) -> ConvNormSpec | None:
        """The convolution of the shortcut."""
        if self.shortcut != "conv":
            return None
        return pointwise(self.in_channels, self.out_channels, self.out_size, "none", self.stride)

    def layers(self) -> tuple[LayerSpec, ...]:
        """Convolution and norm of every step, then the shortcut's."""
        steps = tuple(
            layer
            for number, step in enumerate(self.steps)
            for layer in within(f"steps.{number}", step.layers())
        )
        projection = self.projection
        if projection is None:
            return steps
        return (*steps, *within("shortcut", projection.layers()))


@dataclass(frozen=True)
class ClippedConvSpec(ConvChainSpec):
    """One convolution, BatchNorm, ReLU6: MobileNetV2's ends."""

    _: KW_ONLY
    kernel_size: int

    @property
    def steps(self) -> tuple[ConvNormSpec, ...]:
        before, after, k = self.in_channels, self.out_channels, self.kernel_size
        conv = ConvSpec("conv", before, after, k, self.stride, 1, self.out_size)
        return (ConvNormSpec(conv, "relu6"),)


@dataclass(frozen=True)
class SeparableSpec(ConvChainSpec):
    """Depthwise 3x3, then 1x1, a ReLU after both: MobileNetV1's block (arXiv 1704.04861)."""

    @property
    def steps(self) -> tuple[ConvNormSpec, ...]:
        return (
            depthwise(self.in_channels, 3, self.stride, self.out_size, "relu"),
            pointwise(self.in_channels, self.out_channels, self.out_size, "relu"),
        )


@dataclass(frozen=True)
class InvertedResidualSpec(ConvChainSpec):
    """1x1 and depthwise 3x3 with ReLU6, then 1x1: MobileNetV2's block (arXiv 1801.04381)."""

    _: KW_ONLY
    mid_channels: int

    @property
    def steps(self) -> tuple[ConvNormSpec, ...]:
        mid = self.mid_channels
        return (
            pointwise(self.in_channels, mid, self.in_size, "relu6"),
            depthwise(mid, 3, self.stride, self.out_size, "relu6"),
            pointwise(mid, self.out_channels, self.out_size, "none"),
        )


@dataclass(frozen=True)
class ResidualBottleneckSpec(ConvChainSpec):
    """1x1, 3x3 with the stride, 1x1; ReLUs between, and after the sum: ResNet-50's block.

    arXiv 1512.03385, with the stride in the 3x3 as torchvision has it.
    """

    _: KW_ONLY
    mid_channels: int

    relu_after: ClassVar[bool] = True

    @property
    def steps(self) -> tuple[ConvNormSpec, ...]:
        mid = self.mid_channels
        spatial = ConvSpec("conv", mid, mid, 3, self.stride, 1, self.out_size)
        return (
            pointwise(self.in_channels, mid, self.in_size, "relu"),
            ConvNormSpec(spatial, "relu"),
            pointwise(mid, self.out_channels, self.out_size, "none"),
        )

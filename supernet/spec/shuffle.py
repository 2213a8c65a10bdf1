"""The blocks of Single Path One-Shot's space, as plain data: ShuffleNetV2's, real-valued."""

from __future__ import annotations

from dataclasses import dataclass

from supernet.spec.layers import ConvNormSpec, LayerSpec, depthwise, pointwise, within


@dataclass(frozen=True)
class ShuffleBlockSpec:
    """A choice block of Single Path One-Shot (arXiv 1904.00420), after ShuffleNetV2.

    Stride 1: y = concat[x_even, main(x_odd)], channels counted from 0: taking every other channel
    is the shuffle. Stride 2: y = concat[projection(x), main(x)]. `kernel_size` is the depthwise
    convolutions'; `xception` has three of them where the others have one.
    """

    in_channels: int
    mid_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    in_size: int
    xception: bool = False

    def __post_init__(self) -> None:
        if self.stride == 1 and (self.in_channels != self.out_channels or self.in_channels % 2):
            raise ValueError(
                f"a shuffle block of stride 1 keeps an even number of channels; "
                f"{self.in_channels} would become {self.out_channels}"
            )
        if self.stride == 2 and self.out_channels <= self.in_channels:
            raise ValueError(
                f"a shuffle block of stride 2 adds channels; "
                f"{self.in_channels} would become {self.out_channels}"
            )

    @property
    def out_size(self) -> int:
        """Pixels a side of the output, with padding (k-1)/2."""
        return -(-self.in_size // self.stride)

    @property
    def main_channels(self) -> int:
        """Channels that the main branch reads, which are as many as the other part gives."""
        return self.in_channels // 2 if self.stride == 1 else self.in_channels

    @property
    def main(self) -> tuple[ConvNormSpec, ...]:
        """The main branch; its last step gives the channels that the other part does not."""
        read, mid, made = (
            self.main_channels,
            self.mid_channels,
            self.out_channels - self.main_channels,
        )
        if not self.xception:
            return (
                _pointwise(read, mid, self.in_size),
                self._depthwise(mid, self.stride),
                _pointwise(mid, made, self.out_size),
            )
        return (
            self._depthwise(read, self.stride),
            _pointwise(read, mid, self.out_size),
            self._depthwise(mid),
            _pointwise(mid, mid, self.out_size),
            self._depthwise(mid),
            _pointwise(mid, made, self.out_size),
        )

    @property
    def projection(self) -> tuple[ConvNormSpec, ...]:
        """The other branch of a block of stride 2; none where channels pass as they are."""
        if self.stride == 1:
            return ()
        read = self.main_channels
        return (self._depthwise(read, self.stride), _pointwise(read, read, self.out_size))

    def _depthwise(self, channels: int, stride: int = 1) -> ConvNormSpec:
        return depthwise(channels, self.kernel_size, stride, self.out_size, "none")

    def layers(self) -> tuple[LayerSpec, ...]:
        """Convolution and norm of every step, the projection's first."""
        branches = {"projection": self.projection, "main": self.main}
        return tuple(
            layer
            for name, steps in branches.items()
            for number, step in enumerate(steps)
            for layer in within(f"{name}.{number}", step.layers())
        )


def _pointwise(before: int, after: int, size: int) -> ConvNormSpec:
    return pointwise(before, after, size, "relu")

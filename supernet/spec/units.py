"""Blocks with a shortcut around every convolution, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from supernet.spec.layers import (
    Activation,
    ActivationSpec,
    ConvSpec,
    LayerSpec,
    NormSpec,
    ShiftSpec,
    within,
)

Shortcut = Literal["none", "identity", "pool", "duplicate", "cycle", "conv"]


@dataclass(frozen=True)
class BinaryUnitSpec:
    """One binary convolution with a shortcut around it (Bi-Real Net's rule).

    y = activation(norm(conv(sign(x))) + shortcut(x)), where `rsign` gives the sign a learned
    threshold a channel (ReActNet, arXiv 2003.03488). Shortcuts: identity; pool (2x2 average, for
    stride 2); duplicate (the input twice along channels); cycle (channel c takes the input's
    c mod Cin, for any number of channels); conv (2x2 average for stride 2, then a
    real 1x1 convolution and BatchNorm); none.
    """

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    groups: int
    in_size: int
    shortcut: Shortcut
    activation: Activation
    rsign: bool = False

    def __post_init__(self) -> None:
        wanted = {"identity": 1, "pool": 1, "duplicate": 2}.get(self.shortcut)
        if wanted is not None and self.out_channels != wanted * self.in_channels:
            raise ValueError(
                f"shortcut '{self.shortcut}' cannot turn {self.in_channels} channels "
                f"into {self.out_channels}"
            )
        if self.stride != 1 and self.shortcut in ("identity", "duplicate", "cycle"):
            raise ValueError(f"shortcut '{self.shortcut}' cannot have stride {self.stride}")

    @property
    def out_size(self) -> int:
        """Pixels a side of the output, with padding (k-1)/2."""
        return -(-self.in_size // self.stride)

    @property
    def conv(self) -> ConvSpec:
        """The binary convolution."""
        return ConvSpec(
            "conv",
            self.in_channels,
            self.out_channels,
            self.kernel_size,
            self.stride,
            self.groups,
            self.out_size,
            weight_bits=1,
            activation_bits=1,
        )

    def layers(self) -> tuple[LayerSpec, ...]:
        """Shift of the sign, binary convolution, norm, the shortcut's real ones, activation."""
        layers: list[LayerSpec] = [ShiftSpec("sign", self.in_channels)] if self.rsign else []
        layers += [self.conv, NormSpec("norm", self.out_channels)]
        if self.shortcut == "conv":
            layers += [
                ConvSpec(
                    "shortcut.conv", self.in_channels, self.out_channels, 1, 1, 1, self.out_size
                ),
                NormSpec("shortcut.norm", self.out_channels),
            ]
        if self.activation != "none":
            layers.append(ActivationSpec("activation", self.activation, self.out_channels))
        return tuple(layers)


@dataclass(frozen=True)
class RealDoublingSpec:
    """ReActNet-B's and -C's doubling unit: two real 1x1 convolutions of the same input.

    y = activation(concat[norm_a(conv_a(x + s)) + x, norm_b(conv_b(x + s)) + x]), where s is RSign's
    shift: its sign is left out, so that the input is real. Both convolutions are C -> C.
    """

    in_channels: int
    groups: int
    in_size: int
    activation: Activation

    @property
    def out_channels(self) -> int:
        """Channels of both halves."""
        return 2 * self.in_channels

    @property
    def out_size(self) -> int:
        """That of the input."""
        return self.in_size

    def layers(self) -> tuple[LayerSpec, ...]:
        """Shift, two convolutions, the norm of both, activation."""
        channels = self.in_channels
        halves = [
            ConvSpec(name, channels, channels, 1, 1, self.groups, self.in_size)
            for name in ("conv_a", "conv_b")
        ]
        layers: list[LayerSpec] = [ShiftSpec("shift", channels), *halves]
        layers.append(NormSpec("norm", self.out_channels))
        if self.activation != "none":
            layers.append(ActivationSpec("activation", self.activation, self.out_channels))
        return tuple(layers)


@dataclass(frozen=True)
class BottleneckSpec:
    """Three binary units on two streams: Bi-Real-50's block (its repository, `BiReal_50`).

    Of the narrow stream m and the wide stream x it makes
    a = norm(conv1x1(sign(x))) + shortcut(m); a real 1x1 convolution where a stage begins;
    m' = norm(conv3x3(sign(a))) + a, 2x2-averaged for stride 2;
    x' = norm(conv1x1(sign(m'))) + shortcut(x), as a binary unit's; and gives both, (m', x').
    The `first` block takes one tensor: a = norm(conv1x1(leaky_clip(x))), real, without a shortcut.
    The `last` gives x' alone. The wide stream has four times the narrow one's channels.
    """

    in_channels: int
    out_channels: int
    stride: int
    in_size: int
    first: bool = False
    last: bool = False

    @property
    def out_size(self) -> int:
        """Pixels a side of both outputs."""
        return self.spatial.out_size

    @property
    def begins_stage(self) -> bool:
        """Whether the numbers of channels change."""
        return self.in_channels != self.out_channels

    @property
    def mid_channels(self) -> int:
        """Of the narrow stream that it gives."""
        return self.out_channels // 4

    @property
    def narrow(self) -> BinaryUnitSpec:
        """The first unit without its shortcut, which comes from the other stream."""
        return BinaryUnitSpec(
            self.in_channels, self.mid_channels, 1, 1, 1, self.in_size, "none", "none"
        )

    @property
    def spatial(self) -> BinaryUnitSpec:
        """The second unit."""
        shortcut: Shortcut = "identity" if self.stride == 1 else "pool"
        channels = self.mid_channels
        return BinaryUnitSpec(channels, channels, 3, self.stride, 1, self.in_size, shortcut, "none")

    @property
    def wide(self) -> BinaryUnitSpec:
        """The third unit without its shortcut, which comes from the block's input."""
        return BinaryUnitSpec(
            self.mid_channels, self.out_channels, 1, 1, 1, self.out_size, "none", "none"
        )

    def layers(self) -> tuple[LayerSpec, ...]:
        """Those of the three units, and the real convolutions of the outer two's shortcuts."""
        mid, size = self.mid_channels, self.in_size
        narrow = within("narrow", self.narrow.layers())
        if self.first:
            conv = ConvSpec("narrow.conv", self.in_channels, mid, 1, 1, 1, size)
            narrow = (conv, *narrow[1:])
        elif self.begins_stage:
            shortcut = ConvSpec("narrow.shortcut", self.in_channels // 4, mid, 1, 1, 1, size)
            narrow = (*narrow, shortcut)
        wide = within("wide", self.wide.layers())
        if self.begins_stage:
            conv = ConvSpec(
                "wide.shortcut.conv", self.in_channels, self.out_channels, 1, 1, 1, self.out_size
            )
            wide = (*wide, conv, NormSpec("wide.shortcut.norm", self.out_channels))
        return (*narrow, *within("spatial", self.spatial.layers()), *wide)


def unit_pair(
    before: int,
    after: int,
    in_size: int,
    *,
    stride: int,
    kernel_size: int = 3,
    groups: int = 1,
    pointwise_groups: int = 1,
    doubling: Shortcut = "duplicate",
    activation: Activation,
    rsign: bool,
) -> tuple[BinaryUnitSpec, BinaryUnitSpec]:
    """The unit that keeps `before` channels and has the stride, and the one that makes `after`.

    `doubling`: the second one's shortcut where `after` is twice `before`, and, being 'conv', at any
    other number; without weights an odd change is a `cycle`.
    """
    spatial = BinaryUnitSpec(
        in_channels=before,
        out_channels=before,
        kernel_size=kernel_size,
        stride=stride,
        groups=groups,
        in_size=in_size,
        shortcut="pool" if stride == 2 else "identity",
        activation=activation,
        rsign=rsign,
    )
    shortcut: Shortcut = "identity"
    if after != before:
        shortcut = doubling if after == 2 * before or doubling == "conv" else "cycle"
    pointwise = BinaryUnitSpec(
        in_channels=before,
        out_channels=after,
        kernel_size=1,
        stride=1,
        groups=pointwise_groups,
        in_size=spatial.out_size,
        shortcut=shortcut,
        activation=activation,
        rsign=rsign,
    )
    return spatial, pointwise

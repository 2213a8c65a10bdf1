"""A packed network as plain data: operations in order of execution, each giving one value.

Value 0 is the normalised image, operation i gives value i + 1. A value is a real-valued map
(N, H, W, C) or, after `global_avg_pool` and `linear`, a vector (1 x 1 pixels). Which values are
written as signs alone, and where they lie in memory, is decided when a plan is loaded
(`deploy/engine/program.py`), not stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from deploy.kernels.bits import num_weight_bytes
from deploy.kernels.shapes import ConvShape
from supernet.files import UserError
from supernet.files.names import is_text

Kind = Literal[
    "conv", "binary_conv", "avg_pool", "max_pool", "max_pool_inside", "global_avg_pool", "linear"
]
Activation = Literal["none", "prelu", "rprelu"]

MAX_SIDE = 1 << 14
MAX_CHANNELS = 1 << 20
MAX_KERNEL = 63
MAX_MAP_VALUES = 1 << 28
MAX_OPERATIONS = 1 << 11
MAX_WORK = 1 << 38
"""Bounds on what a file may ask for, far above any network of use, checked before anything is made.

2^28 floats are 1 GiB. DenseNet-201 has about 700 operations. 2^38 multiply-adds, and values looked
at by pools, are 24 times a ResNet-152 at 224 pixels, or one at 1,024.
"""


@dataclass(frozen=True)
class MapShape:
    """Height, width and channels of a value."""

    height: int
    width: int
    channels: int

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


@dataclass(frozen=True)
class Operation:
    """One step of a plan.

    What it computes, for a source value x:

    - conv:         y = conv(x, weight) + bias, zero-padded; then `add`, then the activation
    - binary_conv:  y = count * scale + bias, where count is the integer convolution of the binary
                    weights with the signs of x: +1 where x >= threshold of the channel (0 without
                    thresholds), padded with `pad_value`; then `add`, then the activation
    - avg_pool, max_pool: windows that begin inside the (padded) map and may end outside it
                    (torch's ceil_mode); an average divides by the pixels inside
    - max_pool_inside: windows that also end inside the padded map (torch's default)
    - global_avg_pool, linear: vectors

    `add` is a value added before the activation, of any number of channels R: channel c of y takes
    its channel c mod R. The activations are those of `deploy.kernels.shapes.Epilogue`.
    """

    name: str
    kind: Kind
    source: int
    channels: int
    """Of the result."""
    kernel_size: int = 1
    stride: int = 1
    padding: int = 0
    groups: int = 1
    add: int | None = None
    activation: Activation = "none"
    thresholds: bool = False
    """binary_conv: the sign's thresholds are stored."""
    pad_value: int = 0

    def real_sizes(self, source: MapShape) -> dict[str, tuple[int, ...]]:
        """Names and shapes of its real parameters, in the order in which a file holds them."""
        out = (self.channels,)
        sizes: dict[str, tuple[int, ...]] = {}
        if self.kind == "conv":
            k = self.kernel_size
            sizes = {"weight": (self.channels, source.channels // self.groups, k, k), "bias": out}
        elif self.kind == "linear":
            sizes = {"weight": (self.channels, source.channels), "bias": out}
        elif self.kind == "binary_conv":
            sizes = {"thresholds": (source.channels,)} if self.thresholds else {}
            sizes |= {"scale": out, "bias": out}
        if self.activation == "prelu":
            sizes["slope"] = out
        elif self.activation == "rprelu":
            sizes |= {"gamma": out, "beta": out, "zeta": out}
        return sizes

    def conv_shape(self, source: MapShape) -> ConvShape:
        """Of a convolution."""
        return ConvShape(
            source.height,
            source.width,
            source.channels,
            self.channels,
            self.kernel_size,
            self.stride,
            self.padding,
            self.groups,
        )

    def num_bit_bytes(self, source: MapShape) -> int:
        """Bytes of its binary weights."""
        return num_weight_bytes(self.conv_shape(source)) if self.kind == "binary_conv" else 0

    def result_shape(self, source: MapShape) -> MapShape:
        """Of its value."""
        if self.kind in ("global_avg_pool", "linear"):
            return MapShape(1, 1, self.channels)
        if self.kind in ("conv", "binary_conv"):
            conv = self.conv_shape(source)
            return MapShape(conv.out_height, conv.out_width, self.channels)
        height, width = (self._pooled(side) for side in (source.height, source.width))
        return MapShape(height, width, self.channels)

    def work(self, source: MapShape) -> int:
        """Multiply-adds of a convolution or a linear layer, values that a pool looks at."""
        result = self.result_shape(source)
        values = math.prod((result.height, result.width, result.channels))
        match self.kind:
            case "conv" | "binary_conv":
                return values * self.kernel_size**2 * (source.channels // self.groups)
            case "linear":
                return values * source.channels
            case "global_avg_pool":
                return values * source.height * source.width
        return values * self.kernel_size**2

    def _pooled(self, side: int) -> int:
        """Windows along a side: the last may end outside, but begins inside the map or its left
        padding, as in torch. Those of `max_pool_inside` end inside."""
        if self.kind == "max_pool_inside":
            return (side + 2 * self.padding - self.kernel_size) // self.stride + 1
        windows = -(-(side + 2 * self.padding - self.kernel_size) // self.stride) + 1
        if (windows - 1) * self.stride >= side + self.padding:
            windows -= 1
        return windows


@dataclass(frozen=True)
class Plan:
    """A whole network: images of `channels` x `size` x `size` to the last operation's value."""

    channels: int
    size: int
    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        _check_plan(self)
        self._check_end()

    def _check_end(self) -> None:
        end = self.shapes()[-1]
        if end.sides != (1, 1):
            raise UserError(f"the plan's last operation gives {end}, expected 1 x 1 pixels")

    def shapes(self) -> tuple[MapShape, ...]:
        """The shape of every value, the input's first."""
        shapes = [MapShape(self.size, self.size, self.channels)]
        for operation in self.operations:
            shapes.append(operation.result_shape(shapes[operation.source]))
        return tuple(shapes)

    @property
    def num_classes(self) -> int:
        """Entries of the last value."""
        return self.operations[-1].channels


def _check_plan(plan: Plan) -> None:
    _check_whole("the plan's input", "channels", plan.channels, 1, MAX_CHANNELS)
    _check_whole("the plan's input", "size", plan.size, 1, MAX_SIDE)
    if not plan.operations:
        raise UserError("the plan has no operations")
    if len(plan.operations) > MAX_OPERATIONS:
        raise UserError(
            f"the plan has {len(plan.operations):,} operations, expected at most {MAX_OPERATIONS:,}"
        )
    work = 0
    shapes = [MapShape(plan.size, plan.size, plan.channels)]
    for number, operation in enumerate(plan.operations):
        where = f"operation {number} ({operation.name!r})"
        _check_operation(operation, where, shapes)
        shape = operation.result_shape(shapes[operation.source])
        if min(shape.height, shape.width) < 1:
            raise UserError(f"{where}: the window is larger than its map")
        if math.prod((shape.height, shape.width, shape.channels)) > MAX_MAP_VALUES:
            raise UserError(f"{where}: a map of more than {MAX_MAP_VALUES} values")
        work += operation.work(shapes[operation.source])
        if work > MAX_WORK:
            raise UserError(f"{where}: more than {MAX_WORK:,} multiply-adds up to here")
        shapes.append(shape)
        if operation.add is not None:
            added = shapes[operation.add]
            if (added.height, added.width) != (shape.height, shape.width):
                raise UserError(f"{where}: {added} cannot be added to {shape}")


def _check_operation(operation: Operation, where: str, shapes: Sequence[MapShape]) -> None:
    """Demand types, ranges and the fields that its kind may have."""
    if not isinstance(operation.name, str) or not operation.name or " " in operation.name:
        raise UserError(f"{where}: its name must be text without spaces")
    if not is_text(operation.name):
        raise UserError(f"{where}: its name is not UTF-8")
    if operation.kind not in get_args(Kind):
        raise UserError(f"{where}: unknown operation {operation.kind!r}")
    if operation.activation not in get_args(Activation):
        raise UserError(f"{where}: unknown activation {operation.activation!r}")
    if not isinstance(operation.thresholds, bool):
        raise UserError(f"{where}: thresholds is {operation.thresholds!r}, expected true or false")
    last = len(shapes) - 1
    _check_whole(where, "source", operation.source, 0, last)
    if operation.add is not None:
        _check_whole(where, "add", operation.add, 0, last)
    _check_whole(where, "channels", operation.channels, 1, MAX_CHANNELS)
    _check_whole(where, "kernel_size", operation.kernel_size, 1, MAX_KERNEL)
    _check_whole(where, "stride", operation.stride, 1, MAX_KERNEL)
    _check_whole(where, "padding", operation.padding, 0, MAX_KERNEL)
    _check_whole(where, "groups", operation.groups, 1, MAX_CHANNELS)
    _check_whole(where, "pad_value", operation.pad_value, -1, 1)
    source, is_conv = shapes[operation.source], operation.kind in ("conv", "binary_conv")
    if is_conv:
        try:
            operation.conv_shape(source)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    elif operation.groups != 1 or operation.add is not None or operation.activation != "none":
        raise UserError(f"{where}: {operation.kind} takes no groups, no addition, no activation")
    if operation.kind != "binary_conv" and (operation.thresholds or operation.pad_value):
        raise UserError(f"{where}: {operation.kind} takes no thresholds and no pad value")
    if operation.kind in ("avg_pool", "max_pool", "max_pool_inside"):
        if 2 * operation.padding > operation.kernel_size:
            raise UserError(f"{where}: padding of more than half the window")
        if operation.kind == "avg_pool" and operation.padding:
            raise UserError(f"{where}: an average pool takes no padding")
    if operation.kind in ("global_avg_pool", "linear") and (
        (operation.kernel_size, operation.stride, operation.padding) != (1, 1, 0)
    ):
        raise UserError(f"{where}: {operation.kind} takes no window")
    if operation.kind == "linear" and (source.height, source.width) != (1, 1):
        raise UserError(f"{where}: linear takes 1 x 1 pixels, found {source}")
    if operation.kind not in ("conv", "binary_conv", "linear") and (
        operation.channels != source.channels
    ):
        raise UserError(f"{where}: {operation.kind} keeps the {source.channels} channels")


def _check_whole(where: str, name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"{where}: {name} is {value!r}, expected {least} to {most}")

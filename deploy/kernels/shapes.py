"""The operands of a binary convolution: its shape, maps of signs, and what follows the counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from supernet.files import UserError

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]
PadValue = Literal[-1, 0, 1]

SLACK_WORDS = 64
"""Words after a map of signs that kernels may load and ignore: they read whole vectors."""

MAX_PRODUCTS = 1 << 22
"""Products a filter: counts and corrections are exact in fp32 far below 2^24."""


CACHE_LINE_BYTES = 64


def aligned_empty(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An unwritten array that begins at a cache line: a vector across two of them costs double."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE_BYTES, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned(array: np.ndarray) -> np.ndarray:
    """A copy that begins at a cache line."""
    copy = aligned_empty(array.shape, array.dtype.type)
    copy[...] = array
    return copy


@dataclass(frozen=True)
class ConvShape:
    """A binary convolution on maps of height x width pixels; padding in pixels on every side."""

    height: int
    width: int
    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    def __post_init__(self) -> None:
        sizes = (self.height, self.width, self.in_channels, self.out_channels, self.kernel_size)
        if min(sizes) < 1 or self.stride < 1 or self.groups < 1 or self.padding < 0:
            raise UserError(f"{self}: every size must be at least 1, padding at least 0")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise UserError(f"{self}: the groups do not divide the channels")
        if min(self.height, self.width) + 2 * self.padding < self.kernel_size:
            raise UserError(f"{self}: the padded map is smaller than the kernel")
        if self.num_products > MAX_PRODUCTS:
            raise UserError(f"{self}: more than {MAX_PRODUCTS} products a filter")

    @property
    def group_channels(self) -> int:
        """Input channels of a group."""
        return self.in_channels // self.groups

    @property
    def group_outputs(self) -> int:
        """Output channels of a group."""
        return self.out_channels // self.groups

    @property
    def num_products(self) -> int:
        """Binary products a filter: input channels of a group x k x k."""
        return self.group_channels * self.kernel_size**2

    @property
    def out_height(self) -> int:
        """Output pixels a column."""
        return (self.height + 2 * self.padding - self.kernel_size) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Output pixels a row."""
        return (self.width + 2 * self.padding - self.kernel_size) // self.stride + 1

    @property
    def num_words(self) -> int:
        """32-bit words of an input pixel."""
        return -(-self.in_channels // 32)

    @property
    def num_macs(self) -> int:
        """Binary multiply-adds an image; one multiply-add counts once."""
        return self.out_height * self.out_width * self.out_channels * self.num_products


@dataclass(frozen=True)
class SignMap:
    """Signs of a map, 1 = negative, with a border of `padding` pixels of 0 bits on every side.

    Channel c is bit c % 32 of word c // 32. `buffer` holds (batch, height + 2 padding,
    width + 2 padding, num_words) words and SLACK_WORDS more.
    """

    buffer: Words
    batch: int
    height: int
    width: int
    channels: int
    padding: int

    @classmethod
    def empty(cls, shape: tuple[int, ...], padding: int = 0) -> SignMap:
        """A map of `shape` (N, H, W, C) whose words are yet to be written."""
        batch, height, width, channels = shape
        num_words = -(-channels // 32)
        size = batch * (height + 2 * padding) * (width + 2 * padding) * num_words
        buffer = aligned_empty((size + SLACK_WORDS,), np.uint32)
        buffer[:] = 0
        return cls(buffer, batch, height, width, channels, padding)

    @property
    def num_words(self) -> int:
        """32-bit words of a pixel."""
        return -(-self.channels // 32)

    @property
    def words(self) -> Words:
        """The map as (batch, height + 2 padding, width + 2 padding, num_words), a view."""
        shape = (self.batch, self.height + 2 * self.padding, self.width + 2 * self.padding)
        return self.buffer[:-SLACK_WORDS].reshape(*shape, self.num_words)


@dataclass(frozen=True)
class Epilogue:
    """What follows the counts, in fp32 and in this order.

    y = count * scale + bias, rounded once; y = y + residual; y = activation(y), which is
    y where y > 0, else slope * y (PReLU), or, with z = y - gamma: (z where z > 0, else beta * z)
    + zeta (RPReLU); none if both are absent. Packed signs are +1 where y >= thresholds (absent:
    0). Vectors have a value an output channel. The residual is (batch, height, width, channels)
    of any number of channels R: output channel c takes channel c mod R.
    """

    scale: Floats
    bias: Floats
    residual: Floats | None = None
    slope: Floats | None = None
    rprelu: tuple[Floats, Floats, Floats] | None = None  # gamma, beta, zeta
    thresholds: Floats | None = None

    def check(self, shape: ConvShape, batch: int) -> None:
        """Demand fp32, contiguous, and the right shapes.

        Raises:
            UserError: names the operand that does not fit.
        """
        if self.slope is not None and self.rprelu is not None:
            raise UserError("an epilogue has either a slope (PReLU) or RPReLU, not both")
        vectors = {"scale": self.scale, "bias": self.bias, "slope": self.slope}
        vectors["thresholds"] = self.thresholds
        vectors.update(zip(("gamma", "beta", "zeta"), self.rprelu or (), strict=False))
        for name, vector in vectors.items():
            if vector is not None:
                check_array(name, vector, (shape.out_channels,), np.float32)
        if self.residual is not None:
            channels = max(self.residual.shape[-1], 1)
            size = (batch, shape.out_height, shape.out_width, channels)
            check_array("residual", self.residual, size, np.float32)


def check_array(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    """Demand a C-contiguous array of one shape and type.

    Raises:
        UserError: says what was found and what was expected.
    """
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        order = "" if array.flags.c_contiguous else ", not contiguous"
        raise UserError(
            f"{name}: expected a contiguous {np.dtype(dtype).name} array of shape {shape}, "
            f"found {array.dtype.name} of shape {array.shape}{order}"
        )

"""Signs as 32-bit words, in NumPy, and the border correction of padded convolutions."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from deploy.shapes import ConvShape, Floats, PackedMap, PadValue, Words

if sys.byteorder != "little":
    raise ImportError("evobit's packed words need a little-endian machine")


def pack_bits(bits: NDArray[np.bool_]) -> Words:
    """Boolean (..., C) to words (..., ceil(C / 32)); bit c % 32 of word c // 32, rest 0."""
    channels = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], -(-channels // 32) * 32), bool)
    padded[..., :channels] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view(np.uint32)


def unpack_bits(words: Words, channels: int) -> NDArray[np.bool_]:
    """Inverse of `pack_bits`: words (..., ceil(C / 32)) to boolean (..., C)."""
    as_bytes = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, count=channels, bitorder="little").astype(bool)


def pack_map(x: Floats, thresholds: Floats | None = None, padding: int = 0) -> PackedMap:
    """Signs of a map (N, H, W, C): +1 (bit 0) where x >= threshold, else -1 (bit 1).

    Without thresholds they are 0. A NaN is negative, as it is to `x >= 0`.
    """
    packed = PackedMap.empty(x.shape, padding)
    inner = slice(padding, -padding) if padding else slice(None)
    packed.words[:, inner, inner] = pack_bits(~(x >= (0 if thresholds is None else thresholds)))
    return packed


def signs_of(packed: PackedMap) -> NDArray[np.int8]:
    """The map's signs, +1 and -1, without its border: (N, H, W, C)."""
    padding = packed.padding
    inner = slice(padding, -padding) if padding else slice(None)
    bits = unpack_bits(packed.words[:, inner, inner], packed.channels)
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)


def border_classes(shape: ConvShape) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Output pixels by which taps fall outside the map.

    Returns the class of each output pixel, (H' * W',), and the taps inside the map of each class,
    (classes, k, k).
    """
    rows, row_class = _taps_inside(shape, shape.height, shape.out_height)
    columns, column_class = _taps_inside(shape, shape.width, shape.out_width)
    inside = rows[:, None, :, None] & columns[None, :, None, :]  # (rows, columns, k, k)
    classes = row_class[:, None] * len(columns) + column_class[None, :]
    return classes.ravel().astype(np.int32), inside.reshape(-1, *inside.shape[2:])


def _taps_inside(
    shape: ConvShape, size: int, out_size: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Along one axis: the distinct patterns of taps inside, and the pattern of each output."""
    first = np.arange(out_size)[:, None] * shape.stride - shape.padding
    position = first + np.arange(shape.kernel_size)
    inside = (position >= 0) & (position < size)
    patterns, index = np.unique(inside, axis=0, return_inverse=True)
    return patterns, index.reshape(-1)


def border_correction(
    negative: NDArray[np.bool_], inside: NDArray[np.bool_], pad_value: PadValue
) -> Floats:
    """The constant of each border class and output channel, (classes, Cout), integers.

    A border of 0 bits counts as +1: K - 2 popcount(x ^ w) is the convolution padded with +1, for
    K products a filter. So count = K + (pad_value - 1) * (sum of the weights outside) - 2 popcount.
    `negative` is (Cout, Cin/groups, k, k): True where a weight is -1.
    """
    weights = (1 - 2 * negative.astype(np.int64)).sum(axis=1)  # (Cout, k, k)
    outside = np.einsum("cij,oij->co", (~inside).astype(np.int64), weights)
    num_products = negative[0].size
    return (num_products + (pad_value - 1) * outside).astype(np.float32)

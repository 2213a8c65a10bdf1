"""Signs as 32-bit words, in NumPy, and the border correction of padded convolutions."""

from __future__ import annotations

import functools
import sys

import numpy as np
from numpy.typing import NDArray

from deploy.kernels.shapes import ConvShape, Floats, PadValue, SignMap, Words, check_array

if sys.byteorder != "little":
    raise ImportError("evobit's packed words need a little-endian machine")


def words_of(bits: NDArray[np.bool_]) -> Words:
    """Boolean (..., C) to words (..., ceil(C / 32)); bit c % 32 of word c // 32, rest 0."""
    channels = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], -(-channels // 32) * 32), bool)
    padded[..., :channels] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view(np.uint32)


def bits_of(words: Words, channels: int) -> NDArray[np.bool_]:
    """Inverse of `words_of`: words (..., ceil(C / 32)) to boolean (..., C)."""
    as_bytes = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, count=channels, bitorder="little").astype(bool)


def weights_to_bytes(negative: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Binary weights as a packed file holds them: one bit each, 1 = negative, no gaps.

    `negative` is (Cout, Cin/groups, k, k). The bits are in the order (Cout, k, k, Cin/groups), bit
    i in bit i % 8 of byte i // 8; the last byte ends in zeros.
    """
    return np.packbits(negative.transpose(0, 2, 3, 1), axis=None, bitorder="little")


def num_weight_bytes(shape: ConvShape) -> int:
    """Bytes of `weights_to_bytes`."""
    return -(-shape.out_channels * shape.num_products // 8)


def weights_from_bytes(weights: NDArray[np.uint8], shape: ConvShape) -> NDArray[np.bool_]:
    """Inverse of `weights_to_bytes`: (Cout, Cin/groups, k, k)."""
    bits = _weight_bits(weights, shape)
    size = (shape.out_channels, shape.kernel_size, shape.kernel_size, shape.group_channels)
    return np.ascontiguousarray(bits.reshape(size).transpose(0, 3, 1, 2))


def _weight_bits(weights: NDArray[np.uint8], shape: ConvShape) -> NDArray[np.bool_]:
    """(Cout, k * k, Cin/groups)."""
    check_array("weights", weights, (num_weight_bytes(shape),), np.uint8)
    count = shape.out_channels * shape.num_products
    bits = np.unpackbits(weights, count=count, bitorder="little").view(bool)
    return bits.reshape(shape.out_channels, -1, shape.group_channels)


def weight_words(weights: NDArray[np.uint8], shape: ConvShape) -> Words:
    """Weights of a packed file as words: (Cout, k * k, ceil(Cin/groups / 32)).

    Whole words are there already, and nothing is copied.
    """
    check_array("weights", weights, (num_weight_bytes(shape),), np.uint8)
    if shape.group_channels % 8:
        return words_of(_weight_bits(weights, shape))
    tap_bytes = weights.reshape(shape.out_channels, -1, shape.group_channels // 8)
    if shape.group_channels % 32:
        gap = -tap_bytes.shape[2] % 4
        tap_bytes = np.pad(tap_bytes, ((0, 0), (0, 0), (0, gap)))
    return tap_bytes.view(np.uint32)


def tap_sums(words: Words, shape: ConvShape) -> Floats:
    """The sum of the +-1 weights at every tap of every filter, (Cout, k * k), integers."""
    return shape.group_channels - 2 * _bit_counts(words).sum(axis=2, dtype=np.float32)


def _bit_counts(words: Words) -> NDArray[np.uint8]:
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.bitwise_count(words)
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8)).reshape(*words.shape, 32)
    return bits.sum(axis=-1, dtype=np.uint8)


def binarize_map(x: Floats, thresholds: Floats | None = None, padding: int = 0) -> SignMap:
    """Signs of a map (N, H, W, C): +1 (bit 0) where x >= threshold, else -1 (bit 1).

    Without thresholds they are 0. A NaN is negative, as it is to `x >= 0`.
    """
    signs = SignMap.empty(x.shape, padding)
    inner = slice(padding, -padding) if padding else slice(None)
    signs.words[:, inner, inner] = words_of(~(x >= (0 if thresholds is None else thresholds)))
    return signs


def signs_of(signs: SignMap) -> NDArray[np.int8]:
    """The map's signs, +1 and -1, without its border: (N, H, W, C)."""
    padding = signs.padding
    inner = slice(padding, -padding) if padding else slice(None)
    bits = bits_of(signs.words[:, inner, inner], signs.channels)
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)


def border_classes(shape: ConvShape) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Output pixels by which taps fall outside the map.

    Returns the class of each output pixel, (H' * W',), and the taps inside the map of each class,
    (classes, k, k).
    """
    window = (shape.kernel_size, shape.stride, shape.padding)
    rows, row_class = _taps_inside(*window, shape.height, shape.out_height)
    columns, column_class = _taps_inside(*window, shape.width, shape.out_width)
    inside = rows[:, None, :, None] & columns[None, :, None, :]  # (rows, columns, k, k)
    classes = row_class[:, None] * len(columns) + column_class[None, :]
    return classes.ravel().astype(np.int32), inside.reshape(-1, *inside.shape[2:])


@functools.lru_cache(maxsize=256)  # a network has few sizes and many layers
def _taps_inside(
    kernel_size: int, stride: int, padding: int, size: int, out_size: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Along one axis: the distinct patterns of taps inside, and the pattern of each output."""
    taps = np.arange(kernel_size)
    position = np.arange(out_size) * stride - padding  # of the first tap
    first = np.clip(-position, 0, kernel_size)  # tap inside, and
    last = np.clip(size - position, first, kernel_size)  # the first outside again
    codes, index = np.unique(first * (kernel_size + 1) + last, return_inverse=True)
    first, last = np.divmod(codes[:, None], kernel_size + 1)
    return (taps >= first) & (taps < last), index.reshape(-1)


def border_correction(
    words: Words, shape: ConvShape, inside: NDArray[np.bool_], pad_value: PadValue
) -> Floats:
    """The constant of each border class and output channel, (classes, Cout), integers.

    A border of 0 bits counts as +1: K - 2 popcount(x ^ w) is the convolution padded with +1, for
    K products a filter. So count = K + (pad_value - 1) * (sum of the weights outside) - 2 popcount.
    `words` is (Cout, k * k, words). All sums are below 2^24, which fp32 adds exactly.
    """
    outside = (~inside).reshape(len(inside), -1).astype(np.float32)
    correction = np.full((len(inside), shape.out_channels), shape.num_products, np.float32)
    if pad_value != 1 and outside.any():
        correction += (pad_value - 1) * (outside @ tap_sums(words, shape).T)
    return correction

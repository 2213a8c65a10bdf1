"""A convolution's weights and index tables as the kernels want them (forms: native/evobit.h)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deploy.packing import border_classes, border_correction, pack_bits
from deploy.shapes import ConvShape, Floats, PadValue, Words, aligned

LANES, MASKED, GROUPS = 0, 1, 2
KIND_NAMES = ("output lanes", "masked lanes", "group lanes")

# channel, num_channels, word, num_blocks, weights: struct evobit_tile
TILE = np.dtype(
    [("channel", "i4"), ("num_channels", "i4"), ("word", "i4"), ("num_blocks", "i4"), ("at", "i8")]
)
Index = NDArray[np.int32]
Bits = NDArray[np.bool_]


@dataclass
class Layout:
    """A convolution's weights and tables, in the form of one kernel."""

    kind: int
    num_steps: int
    num_units: int
    tiles: NDArray[np.void]
    weights: Words
    masks: Words
    step_offset: Index
    pixel_offset: Index
    pixel_class: Index
    correction: Floats
    lane_words: Index = field(default_factory=lambda: np.zeros(16, np.int32))
    vector_pixels: int = 1
    pixel_words: int = 0
    lane_bits: int = 0
    gathered: bool = False


def kernel_kind(shape: ConvShape, has_groups: bool) -> int:
    """The kernel for a shape: whole words by LANES, 8 and 16 channels a group by GROUPS."""
    if shape.groups == 1 or shape.group_channels % 32 == 0:
        return LANES
    # Counters of 8 bits hold 255: 8 channels a group up to 5x5.
    fits = shape.group_channels == 16 or shape.num_products <= 255
    narrow = shape.group_channels in (8, 16) and shape.group_outputs % 8 == 0
    return GROUPS if has_groups and narrow and fits and shape.stride <= 3 else MASKED


def make_layout(negative: Bits, shape: ConvShape, pad_value: PadValue, has_groups: bool) -> Layout:
    """Lay out weights (Cout, Cin/groups, k, k), True where -1."""
    kind = kernel_kind(shape, has_groups)
    pixel_class, inside = border_classes(shape)
    words, row_words = shape.num_words, (shape.width + 2 * shape.padding) * shape.num_words
    columns = np.arange(shape.out_width) * shape.stride * words
    rows = np.arange(shape.out_height) * shape.stride * row_words
    taps = np.arange(shape.kernel_size)
    tap_offset = (taps[:, None] * row_words + taps * words).ravel()
    layout = Layout(
        kind=kind,
        num_steps=len(tap_offset),
        num_units=shape.out_height * shape.out_width,
        tiles=np.zeros(0, TILE),
        weights=np.zeros(0, np.uint32),
        masks=np.zeros(0, np.uint32),
        step_offset=tap_offset.astype(np.int32),
        pixel_offset=(rows[:, None] + columns).ravel().astype(np.int32),
        pixel_class=pixel_class,
        correction=border_correction(negative, inside, pad_value),
    )
    by_tap = negative.reshape(*negative.shape[:2], -1).transpose(0, 2, 1)  # (Cout, taps, Cg)
    (_fill_lanes, _fill_masked, _fill_groups)[kind](layout, by_tap, shape)
    layout.weights, layout.masks = aligned(layout.weights), aligned(layout.masks)
    layout.correction = aligned(layout.correction)
    return layout


def _fill_lanes(layout: Layout, by_tap: Bits, shape: ConvShape) -> None:
    """Tiles of 64, 32 or 16 outputs of a group, weights (step, output)."""
    words = pack_bits(by_tap)  # (Cout, taps, words)
    num_words = words.shape[2]
    steps = words.reshape(len(words), -1).T  # (taps x words, Cout)
    tiles, weights = [], []
    for group in range(shape.groups):
        channel, end = group * shape.group_outputs, (group + 1) * shape.group_outputs
        while channel < end:
            blocks = next(b for b in (4, 2, 1) if b == 1 or end - channel > 16 * (b - 1))
            count = min(16 * blocks, end - channel)
            tiles.append((channel, count, group * num_words, blocks))
            weights.append(_padded(steps[:, channel : channel + count], 16 * blocks))
            channel += count
    _set_steps(layout, num_words)
    _set_tiles(layout, tiles, weights)


def _fill_masked(layout: Layout, by_tap: Bits, shape: ConvShape) -> None:
    """Tiles of 16 outputs of any groups; a lane's filter lies at its group's bits, with a mask."""
    outputs = np.arange(shape.out_channels)
    first_bit = outputs // shape.group_outputs * shape.group_channels
    first_word, shift = first_bit // 32, first_bit % 32
    span = int((shift + shape.group_channels - 1).max() // 32) + 1
    at = np.arange(shape.group_channels) + shift[:, None]  # (Cout, Cg)
    filters = np.zeros((*by_tap.shape[:2], 32 * span), bool)
    np.put_along_axis(filters, np.broadcast_to(at[:, None], by_tap.shape), by_tap, axis=2)
    mask = np.zeros((len(outputs), 32 * span), bool)
    np.put_along_axis(mask, at, True, axis=1)
    steps = pack_bits(filters).reshape(len(outputs), -1).T  # (taps x span, Cout)
    mask_steps = np.tile(pack_bits(mask).T, (by_tap.shape[1], 1))
    tiles, weights, masks, lane_words = [], [], [], []
    for channel in range(0, shape.out_channels, 16):
        lanes = slice(channel, min(channel + 16, shape.out_channels))
        base = int(first_word[lanes].min())
        tiles.append((channel, lanes.stop - channel, base, 1))
        weights.append(_padded(steps[:, lanes], 16))
        masks.append(_padded(mask_steps[:, lanes], 16))
        lane_words.append(_padded(first_word[lanes] - base, 16))
    _set_steps(layout, span)
    _set_tiles(layout, tiles, weights)
    layout.masks = np.concatenate([mask.ravel() for mask in masks])
    layout.lane_words = np.concatenate(lane_words).astype(np.int32)
    layout.gathered = bool(layout.lane_words.max() >= 16)


def _fill_groups(layout: Layout, by_tap: Bits, shape: ConvShape) -> None:
    """Vectors of 512 channel bits, weights (step, output of the group, 16 words).

    A narrow map has several pixels in a vector and the weights once for each.
    """
    num_words, outputs = shape.num_words, shape.group_outputs
    pixels = max(1, min(16 // num_words, shape.out_width))
    chunk = 16 if outputs % 16 == 0 else 8
    lanes = 512 // shape.group_channels  # groups in a vector
    grouped = by_tap.reshape(shape.groups, outputs, by_tap.shape[1], -1)  # (g, outputs, taps, Cg)
    tiles, weights = [], []
    for first in range(0, outputs, chunk):
        rows = grouped[:, first : first + chunk].transpose(2, 1, 0, 3)  # (taps, chunk, g, Cg)
        words = pack_bits(rows.reshape(*rows.shape[:2], -1))  # (taps, chunk, num_words)
        for vector in range(-(-num_words // 16)):
            part = np.tile(words[..., 16 * vector : 16 * vector + 16], (1, 1, pixels))
            group = vector * lanes
            count = min(lanes, shape.groups - group)
            tiles.append((group * outputs + first, count, 16 * vector, chunk))
            weights.append(_padded(part, 16))
    _set_tiles(layout, tiles, weights)
    layout.vector_pixels, layout.pixel_words = pixels, min(num_words, 16)
    layout.lane_bits, layout.gathered = shape.group_channels, shape.stride > 1 and pixels > 1
    layout.num_units = shape.out_height * -(-shape.out_width // pixels)
    apart = np.arange(pixels)[:, None] * shape.stride * num_words + np.arange(min(num_words, 16))
    layout.lane_words = _padded(apart.ravel(), 16).astype(np.int32)


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """Zeros appended along the last axis, to `size` entries."""
    width = [(0, 0)] * (array.ndim - 1) + [(0, size - array.shape[-1])]
    return np.pad(array, width)


def _set_steps(layout: Layout, num_words: int) -> None:
    """A step for every tap and word of a tap."""
    offsets = layout.step_offset[:, None] + np.arange(num_words, dtype=np.int32)
    layout.step_offset, layout.num_steps = offsets.ravel().astype(np.int32), offsets.size


def _set_tiles(
    layout: Layout, tiles: list[tuple[int, int, int, int]], weights: list[np.ndarray]
) -> None:
    starts = np.cumsum([0] + [part.size for part in weights[:-1]])
    layout.tiles = np.array([(*t, at) for t, at in zip(tiles, starts, strict=True)], TILE)
    layout.weights = np.concatenate([part.ravel() for part in weights]).astype(np.uint32)

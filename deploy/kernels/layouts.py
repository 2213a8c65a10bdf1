"""A convolution's weights and index tables as the kernels want them (forms: native/evobit.h)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from deploy.kernels.bits import (
    bits_of,
    border_classes,
    border_correction,
    weight_words,
    words_of,
)
from deploy.kernels.shapes import ConvShape, Floats, PadValue, Words, aligned, aligned_empty

LANES, MASKED, GROUPS = 0, 1, 2
KIND_NAMES = ("output lanes", "masked lanes", "group lanes")

# channel, num_channels, word, num_blocks, weights: struct evobit_tile
TILE = np.dtype(
    [("channel", "i4"), ("num_channels", "i4"), ("word", "i4"), ("num_blocks", "i4"), ("at", "i8")]
)
Index = NDArray[np.int32]


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
    lane_outputs: int = 0
    gathered: bool = False


GROUP_OUTPUTS = 8  # the kernel of group lanes computes 8 outputs of each lane at once
MAX_BYTE_COUNT, MAX_PLANE_COUNT = 255, 63  # what counters of a byte and of 6 bit planes hold


def kernel_kind(shape: ConvShape, has_groups: bool) -> int:
    """The kernel for a shape: whole words by LANES, 16 channels a group and fewer by GROUPS."""
    if shape.groups == 1 or shape.group_channels % 32 == 0:
        return LANES
    return GROUPS if has_groups and _lane_bits(shape) else MASKED


def _lane_bits(shape: ConvShape) -> int:
    """Bits of a lane that holds whole groups and 8 outputs or a multiple; 0: there is none.

    1 is the lane of a depthwise convolution, whose taps are counted in bit planes.
    """
    if shape.stride > 3:  # the words of a vector's pixels would lie too far apart
        return 0
    depthwise = shape.group_channels == shape.group_outputs == 1
    if depthwise and shape.groups % 8 == 0 and shape.num_products <= MAX_PLANE_COUNT:
        return 1
    for bits in (8, 16):
        groups = bits // shape.group_channels
        fits = bits == 16 or shape.num_products <= MAX_BYTE_COUNT
        whole = bits % shape.group_channels == 0 and shape.groups % max(groups, 1) == 0
        if fits and whole and groups * shape.group_outputs % GROUP_OUTPUTS == 0:
            return bits
    return 0


def make_layout(
    packed: NDArray[np.uint8], shape: ConvShape, pad_value: PadValue, has_groups: bool
) -> Layout:
    """Lay out the weights of a packed file."""
    kind = kernel_kind(shape, has_groups)
    pixel_class, inside = border_classes(shape)
    num_words, row_words = shape.num_words, (shape.width + 2 * shape.padding) * shape.num_words
    columns = np.arange(shape.out_width) * shape.stride * num_words
    rows = np.arange(shape.out_height) * shape.stride * row_words
    taps = np.arange(shape.kernel_size)
    tap_offset = (taps[:, None] * row_words + taps * num_words).ravel()
    words = weight_words(packed, shape)
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
        correction=aligned(border_correction(words, shape, inside, pad_value)),
    )
    (_fill_lanes, _fill_masked, _fill_groups)[kind](layout, words, shape)
    return layout


def _fill_lanes(layout: Layout, words: Words, shape: ConvShape) -> None:
    """Tiles of 64, 32 or 16 outputs of a group, weights (step, output)."""
    num_words, outputs = words.shape[2], shape.group_outputs
    filters = words.reshape(shape.groups, outputs, -1)  # (groups, outputs, taps x words)
    sizes = list(_tile_sizes(outputs))  # of one group, as of every other
    ends = np.cumsum(sizes)
    num_steps = filters.shape[2]
    weights = aligned_empty((shape.groups, ends[-1] * num_steps), np.uint32)
    tiles = np.zeros((shape.groups, len(sizes)), TILE)
    for i, (size, end) in enumerate(zip(sizes, ends.tolist(), strict=True)):
        first, stop = end - size, min(end, outputs)
        tile = weights[:, first * num_steps : end * num_steps]
        tile = tile.reshape(shape.groups, num_steps, size)
        tile[..., : stop - first] = filters[:, first:stop].transpose(0, 2, 1)
        tile[..., stop - first :] = 0
        tiles[:, i] = (first, stop - first, 0, size // 16, first * num_steps)
    group = np.arange(shape.groups)[:, None]
    tiles["channel"] += group * outputs
    tiles["word"] = group * num_words
    tiles["at"] += group * weights.shape[1]
    layout.tiles, layout.weights = tiles.ravel(), weights.ravel()
    _set_steps(layout, num_words)


def _tile_sizes(outputs: int) -> Iterator[int]:
    """64, 32 or 16 at a time, the last with less than 16 lanes empty."""
    while outputs > 0:
        blocks = next(b for b in (4, 2, 1) if b == 1 or outputs > 16 * (b - 1))
        yield 16 * blocks
        outputs -= 16 * blocks


def _fill_masked(layout: Layout, words: Words, shape: ConvShape) -> None:
    """Tiles of 16 outputs of any groups; a lane's filter lies at its group's bits, with a mask."""
    by_tap = bits_of(words, shape.group_channels)
    outputs = np.arange(shape.out_channels)
    first_bit = outputs // shape.group_outputs * shape.group_channels
    first_word, shift = first_bit // 32, first_bit % 32
    span = int((shift + shape.group_channels - 1).max() // 32) + 1
    at = np.arange(shape.group_channels) + shift[:, None]  # (Cout, Cg)
    filters = np.zeros((*by_tap.shape[:2], 32 * span), bool)
    np.put_along_axis(filters, np.broadcast_to(at[:, None], by_tap.shape), by_tap, axis=2)
    mask = np.zeros((len(outputs), 32 * span), bool)
    np.put_along_axis(mask, at, True, axis=1)
    steps = words_of(filters).reshape(len(outputs), -1).T  # (taps x span, Cout)
    mask_steps = np.tile(words_of(mask).T, (by_tap.shape[1], 1))
    tiles, weights, masks, lane_words = [], [], [], []
    for channel in range(0, shape.out_channels, 16):
        lanes = slice(channel, min(channel + 16, shape.out_channels))
        base = int(first_word[lanes].min())
        tiles.append((channel, lanes.stop - channel, base, 1, channel * len(steps)))
        weights.append(_padded(steps[:, lanes], 16))
        masks.append(_padded(mask_steps[:, lanes], 16))
        lane_words.append(_padded(first_word[lanes] - base, 16))
    _set_steps(layout, span)
    layout.tiles = np.array(tiles, TILE)
    layout.weights, layout.masks = aligned(np.concatenate(weights)), aligned(np.concatenate(masks))
    layout.lane_words = np.concatenate(lane_words).astype(np.int32)
    layout.gathered = bool(layout.lane_words.max() >= 16)


def _fill_groups(layout: Layout, words: Words, shape: ConvShape) -> None:
    """Vectors of 512 channel bits, weights (chunk of outputs, vector, step, output, 16 words).

    A lane holds one group, or several with bits of their own; then `masks` has a word for each
    output of a lane: the bits that count. A narrow map has several pixels in a vector and the
    weights once for each.
    """
    num_words = shape.num_words
    pixels = max(1, min(16 // num_words, shape.out_width))
    vectors = -(-num_words // 16)
    bits = _lane_bits(shape)
    layout.lane_bits, layout.pixel_words = bits, min(num_words, 16)
    layout.vector_pixels, layout.gathered = pixels, shape.stride > 1 and pixels > 1
    layout.num_units = shape.out_height * -(-shape.out_width // pixels)
    apart = np.arange(pixels)[:, None] * shape.stride * num_words + np.arange(min(num_words, 16))
    layout.lane_words = _padded(apart.ravel(), 16).astype(np.int32)

    lane_bits = max(bits, 8)  # of a counter
    lane_groups = lane_bits // shape.group_channels
    groups = np.arange(lane_groups, dtype=np.uint32)
    layout.lane_outputs = lane_groups * shape.group_outputs
    filters = words[..., 0].reshape(-1, lane_groups, shape.group_outputs, layout.num_steps)
    filters = filters << (groups * shape.group_channels)[:, None, None]
    if lane_groups > 1:
        mask = ((1 << shape.group_channels) - 1) * (0xFFFFFFFF // ((1 << lane_bits) - 1))
        masks = mask << (groups * shape.group_channels)
        layout.masks = np.repeat(masks.astype(np.uint32), shape.group_outputs)
    if bits == 1:  # the 8 groups of a lane have a bit of one vector each
        filters = np.bitwise_or.reduce(filters, axis=1, keepdims=True)
    chunk = 1 if bits == 1 else 16 if layout.lane_outputs % 16 == 0 and lane_groups == 1 else 8
    # (lanes, chunks, chunk, steps) -> (chunks, steps, chunk, lanes)
    rows = filters.reshape(len(filters), -1, chunk, layout.num_steps).transpose(1, 3, 2, 0)
    lanes, vector_lanes = len(filters), 512 // lane_bits
    filled = np.zeros((*rows.shape[:3], vectors * vector_lanes), f"u{lane_bits // 8}")
    pixel_lanes = num_words * 32 // lane_bits
    for pixel in range(pixels):
        filled[..., pixel * pixel_lanes : pixel * pixel_lanes + lanes] = rows
    filled = filled.reshape(*rows.shape[:3], vectors, vector_lanes).transpose(0, 3, 1, 2, 4)
    layout.weights = aligned(np.ascontiguousarray(filled).view(np.uint32).ravel())
    outputs = max(chunk, 8)  # of a lane, in a tile
    first_lane = np.arange(vectors) * vector_lanes
    tiles = np.zeros((len(rows), vectors), TILE)
    first_output = np.arange(len(rows)) * outputs
    tiles["channel"] = first_lane * layout.lane_outputs + first_output[:, None]
    tiles["num_channels"] = np.minimum(vector_lanes, lanes - first_lane)
    tiles["word"], tiles["num_blocks"] = 16 * np.arange(vectors), outputs
    tiles["at"] = np.arange(tiles.size).reshape(tiles.shape) * layout.num_steps * chunk * 16
    layout.tiles = tiles.ravel()


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """Zeros appended along the last axis, to `size` entries."""
    width = [(0, 0)] * (array.ndim - 1) + [(0, size - array.shape[-1])]
    return np.pad(array, width)


def _set_steps(layout: Layout, num_words: int) -> None:
    """A step for every tap and word of a tap."""
    offsets = (layout.step_offset[:, None] + np.arange(num_words)).astype(np.int32)
    layout.step_offset, layout.num_steps = offsets.ravel(), offsets.size

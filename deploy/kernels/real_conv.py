"""Real convolutions laid out for the kernels (forms: native/plan.h)."""

from __future__ import annotations

from ctypes import Structure

import numpy as np

from deploy.kernels.layouts import TILE
from deploy.kernels.library import RealConvStruct
from deploy.kernels.shapes import ConvShape, Floats, aligned
from supernet.files import UserError

LANES = 16
MAX_IMAGE_VALUES = (1 << 31) - 1
"""Offsets inside an image are 32-bit numbers."""


class RealConv:
    """One real convolution; a linear layer is one on 1 x 1 pixels.

    Args:
        weight: (Cout, Cin/groups, k, k).
        shape: its shape.

    Raises:
        UserError: the map is too large.
    """

    def __init__(self, weight: Floats, shape: ConvShape) -> None:
        self.shape = shape
        k, depth = shape.kernel_size, shape.group_channels
        row = (shape.width + 2 * shape.padding) * shape.in_channels
        self.image_values = (shape.height + 2 * shape.padding) * row
        if self.image_values > MAX_IMAGE_VALUES:
            raise UserError(f"{shape}: the padded map has more than {MAX_IMAGE_VALUES} values")
        taps = np.arange(k)
        if shape.groups == 1:  # the taps of a row lie side by side
            self.run_offset, self.run_length = taps * row, k * depth
        else:
            offsets = taps[:, None] * row + taps * shape.in_channels
            self.run_offset, self.run_length = offsets.ravel(), depth
        self.run_offset = self.run_offset.astype(np.int32)
        rows = np.arange(shape.out_height) * shape.stride * row
        columns = np.arange(shape.out_width) * shape.stride * shape.in_channels
        self.pixel_offset = (rows[:, None] + columns).ravel().astype(np.int32)
        self.pixel_class = np.zeros_like(self.pixel_offset)
        self.correction = np.zeros(shape.out_channels, np.float32)
        self.scale = np.full(shape.out_channels, -0.5, np.float32)
        """For the epilogue; see evobit_real_conv."""
        self._fill_tiles(weight)

    def _fill_tiles(self, weight: Floats) -> None:
        """Tiles of 64, 32 or 16 outputs of a group, weights (block, step, output)."""
        shape = self.shape
        steps = weight.transpose(2, 3, 1, 0).reshape(shape.num_products, shape.out_channels)
        tiles, parts, at = [], [], 0
        for group in range(shape.groups):
            channel, end = group * shape.group_outputs, (group + 1) * shape.group_outputs
            while channel < end:
                left = end - channel
                blocks = next(b for b in (4, 2, 1) if b == 1 or left > LANES * (b - 1))
                count = min(LANES * blocks, left)
                part = np.zeros((shape.num_products, blocks * LANES), np.float32)
                part[:, :count] = steps[:, channel : channel + count]
                by_block = part.reshape(-1, blocks, LANES).swapaxes(0, 1)
                tiles.append((channel, count, group * shape.group_channels, blocks, at))
                parts.append(by_block.ravel())
                at += part.size
                channel += count
        self.tiles = np.array(tiles, TILE)
        self.weights = aligned(np.concatenate(parts))

    def struct(self, source: Floats, batch: int) -> Structure:
        """Native operands, for a caller that keeps `source` and `self` alive.

        `source` is (batch, H + 2 padding, W + 2 padding, Cin), contiguous.
        """
        shape = self.shape
        struct = RealConvStruct(batch, shape.out_channels, len(self.tiles), len(self.run_offset))
        struct.run_length, struct.num_pixels = self.run_length, len(self.pixel_offset)
        struct.out_width, struct.group_outputs = shape.out_width, shape.group_outputs
        struct.image_values, struct.num_macs = self.image_values, batch * shape.num_macs
        struct.input = source.ctypes.data
        for name in "tiles weights run_offset pixel_offset pixel_class correction".split():
            setattr(struct, name, getattr(self, name).ctypes.data)
        return struct

"""Sums of a map and of its squares, channel by channel: what BatchNorm's statistics are made of."""

from __future__ import annotations

import math
from ctypes import byref

import numpy as np
from numpy.typing import NDArray

from deploy.kernels import library
from deploy.kernels.shapes import Floats, check_array

MIN_WIDTH = 64
"""Columns that make it worth while: whole vectors, and some for every thread."""


def moments(x: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and sum of squares of each channel of a contiguous map (N, H, W, C).

    In doubles: exact for counts of at most K products while K^2 N H W <= 2^53, which is 4608
    products a filter (3x3 of 512 channels) over 400 million pixels. Of other values each is summed
    in the same order whatever the number of threads.

    Raises:
        UserError: the map is not fp32, or not contiguous.
    """
    check_array("x", x, x.shape, np.float32)
    channels = x.shape[-1]
    # Pixels side by side until a row is whole vectors: (rows, side * channels).
    side = MIN_WIDTH // math.gcd(MIN_WIDTH, channels)
    if x.size % (side * channels):
        side = 1
    rows = x.reshape(-1, side * channels)
    sums, squares = np.empty(rows.shape[1]), np.empty(rows.shape[1])
    native = library.load()
    if native is None:
        doubles = rows.astype(np.float64)
        doubles.sum(0, out=sums)
        np.einsum("rc,rc->c", doubles, doubles, out=squares)
    else:
        struct = library.MomentsStruct(rows.shape[1], 0, rows.shape[0])
        struct.input, struct.sums = rows.ctypes.data, sums.ctypes.data
        struct.squares = squares.ctypes.data
        native.evobit_run_moments(byref(struct))
    return sums.reshape(side, channels).sum(0), squares.reshape(side, channels).sum(0)

"""Binarization: an fp32 map to one bit a value."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref

import numpy as np

from deploy.kernels import library
from deploy.kernels.shapes import Floats, SignMap, check_array
from supernet.files import UserError


def binarize(
    x: Floats,
    thresholds: Floats | None = None,
    padding: int = 0,
    into: SignMap | None = None,
) -> SignMap:
    """Signs of an fp32 map (N, H, W, C): +1 where x >= threshold of the channel (absent: 0).

    Args:
        x: contiguous.
        thresholds: (C,).
        padding: border pixels of the result.
        into: a map to write, of the same shape; made anew if absent.

    Raises:
        UserError: an operand has another shape or type.
    """
    if x.ndim != 4:
        raise UserError(f"x: expected (N, H, W, C), found shape {x.shape}")
    signs = SignMap.empty(x.shape, padding) if into is None else into
    check_map("into", signs, x.shape, padding)
    prepare_binarize(x, signs, thresholds)()
    return signs


def prepare_binarize(
    x: Floats, signs: SignMap, thresholds: Floats | None = None
) -> Callable[[], None]:
    """A function that does `binarize` from `x` into `signs`, again and again, checking nothing.

    Raises:
        UserError: an operand has another shape or type.
    """
    check_array("x", x, x.shape, np.float32)
    check_map("packed", signs, x.shape, signs.padding)
    if thresholds is not None:
        check_array("thresholds", thresholds, x.shape[3:], np.float32)
    native = library.load()
    if native is None:
        from deploy.kernels.bits import binarize_map

        def by_numpy() -> None:
            signs.words[:] = binarize_map(x, thresholds, signs.padding).words

        return by_numpy
    struct = library.PackStruct(*x.shape, signs.padding, signs.num_words)
    struct.input, struct.thresholds = (
        x.ctypes.data,
        None if thresholds is None else thresholds.ctypes.data,
    )
    struct.bits = signs.buffer.ctypes.data
    run, argument, kept = native.evobit_run_pack, byref(struct), (x, signs, thresholds)

    def by_kernel(_kept: object = kept) -> None:
        run(argument)

    return by_kernel


def check_map(name: str, signs: SignMap, size: tuple[int, ...], padding: int) -> None:
    """Demand a map of signs of (N, H, W, C) and a border.

    Raises:
        UserError: says what was found.
    """
    found = (signs.batch, signs.height, signs.width, signs.channels)
    if found != tuple(size) or signs.padding != padding:
        raise UserError(
            f"{name}: expected a packed map of {tuple(size)} with a border of {padding}, "
            f"found {found} with a border of {signs.padding}"
        )

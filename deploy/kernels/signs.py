"""Sign-and-pack: an fp32 map to one bit a value."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref

import numpy as np

from deploy.kernels import library
from deploy.kernels.shapes import Floats, PackedMap, check_array
from supernet.files import UserError


def pack_signs(
    x: Floats,
    thresholds: Floats | None = None,
    padding: int = 0,
    into: PackedMap | None = None,
) -> PackedMap:
    """Signs of an fp32 map (N, H, W, C): +1 where x >= threshold of the channel (absent: 0).

    Args:
        x: contiguous.
        thresholds: (C,).
        padding: border pixels of the packed map.
        into: a map to write, of the same shape; made anew if absent.

    Raises:
        UserError: an operand has another shape or type.
    """
    if x.ndim != 4:
        raise UserError(f"x: expected (N, H, W, C), found shape {x.shape}")
    packed = PackedMap.empty(x.shape, padding) if into is None else into
    check_map("into", packed, x.shape, padding)
    prepare_pack(x, packed, thresholds)()
    return packed


def prepare_pack(
    x: Floats, packed: PackedMap, thresholds: Floats | None = None
) -> Callable[[], None]:
    """A function that does `pack_signs` from `x` into `packed`, again and again, checking nothing.

    Raises:
        UserError: an operand has another shape or type.
    """
    check_array("x", x, x.shape, np.float32)
    check_map("packed", packed, x.shape, packed.padding)
    if thresholds is not None:
        check_array("thresholds", thresholds, x.shape[3:], np.float32)
    native = library.load()
    if native is None:
        from deploy.kernels.bits import pack_map

        def by_numpy() -> None:
            packed.words[:] = pack_map(x, thresholds, packed.padding).words

        return by_numpy
    struct = library.PackStruct(*x.shape, packed.padding, packed.num_words)
    struct.input, struct.thresholds = (
        x.ctypes.data,
        None if thresholds is None else thresholds.ctypes.data,
    )
    struct.bits = packed.buffer.ctypes.data
    run, argument, kept = native.evobit_run_pack, byref(struct), (x, packed, thresholds)

    def by_kernel(_kept: object = kept) -> None:
        run(argument)

    return by_kernel


def check_map(name: str, packed: PackedMap, size: tuple[int, ...], padding: int) -> None:
    """Demand a packed map of (N, H, W, C) and a border.

    Raises:
        UserError: says what was found.
    """
    found = (packed.batch, packed.height, packed.width, packed.channels)
    if found != tuple(size) or packed.padding != padding:
        raise UserError(
            f"{name}: expected a packed map of {tuple(size)} with a border of {padding}, "
            f"found {found} with a border of {packed.padding}"
        )

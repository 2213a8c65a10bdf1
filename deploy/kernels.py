"""Sign-and-pack and binary convolution, by the compiled kernels or, without them, by torch."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Structure, byref

import numpy as np
from numpy.typing import NDArray

from deploy import library
from deploy.layouts import KIND_NAMES, make_layout
from deploy.library import BackendInfo as BackendInfo
from deploy.library import backend_info as backend_info
from deploy.library import select_isa as select_isa
from deploy.library import set_threads as set_threads
from deploy.shapes import ConvShape, Epilogue, Floats, PackedMap, PadValue, check_array
from supernet.files import UserError

LINEAR, PRELU, RPRELU = 0, 1, 2


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
    _check_map("into", packed, x.shape, padding)
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
    _check_map("packed", packed, x.shape, packed.padding)
    if thresholds is not None:
        check_array("thresholds", thresholds, x.shape[3:], np.float32)
    native = library.load()
    if native is None:
        from deploy.packing import pack_map

        def by_numpy() -> None:
            packed.words[:] = pack_map(x, thresholds, packed.padding).words

        return by_numpy
    struct = library.PackStruct(*x.shape, packed.padding, packed.num_words)
    struct.input, struct.thresholds = x.ctypes.data, _address(thresholds)
    struct.bits = packed.buffer.ctypes.data
    run, argument, kept = native.evobit_run_pack, byref(struct), (x, packed, thresholds)

    def by_kernel(_kept: object = kept) -> None:
        run(argument)

    return by_kernel


class BinaryConv:
    """One binary convolution with its weights laid out for the kernels.

    Args:
        negative: (Cout, Cin/groups, k, k), True where a weight is -1.
        shape: of the convolution.
        pad_value: what the border holds: 0, +1 or -1.
    """

    def __init__(
        self, negative: NDArray[np.bool_], shape: ConvShape, pad_value: PadValue = 0
    ) -> None:
        size = (shape.out_channels, shape.group_channels, shape.kernel_size, shape.kernel_size)
        check_array("negative", negative, size, np.bool_)
        if pad_value not in (-1, 0, 1):
            raise UserError(f"pad_value: expected -1, 0 or 1, found {pad_value}")
        self.negative, self.shape, self.pad_value = negative, shape, pad_value
        self._native = library.load()
        if self._native is None:
            return
        self._layout = layout = make_layout(
            negative, shape, pad_value, bool(self._native.evobit_has_groups())
        )
        padded = (shape.height + 2 * shape.padding) * (shape.width + 2 * shape.padding)
        struct = self._struct = library.ConvStruct(layout.kind)
        struct.out_channels, struct.group_outputs = shape.out_channels, shape.group_outputs
        struct.num_steps, struct.num_tiles = layout.num_steps, len(layout.tiles)
        struct.num_units, struct.num_pixels = layout.num_units, shape.out_height * shape.out_width
        struct.out_width, struct.vector_pixels = shape.out_width, layout.vector_pixels
        struct.pixel_words, struct.lane_bits = layout.pixel_words, layout.lane_bits
        struct.gathered, struct.image_words = layout.gathered, padded * shape.num_words
        for name in (
            "tiles weights masks lane_words step_offset pixel_offset pixel_class correction"
        ).split():
            setattr(struct, name, getattr(layout, name).ctypes.data)

    @property
    def kernel(self) -> str:
        """The kernel that runs it."""
        return KIND_NAMES[self._layout.kind] if self._native else "torch-reference"

    def counts(self, packed: PackedMap) -> NDArray[np.int32]:
        """The integer convolution of the signs, (N, H', W', Cout)."""
        self._check_input(packed)
        out = np.empty(self._out_shape(packed.batch), np.int32)
        if self._native is None:
            from deploy.reference import conv_counts

            return conv_counts(packed, self.negative, self.shape, self.pad_value)
        self._launch(packed, library.EpilogueStruct(counts=out.ctypes.data))()
        return out

    def __call__(
        self,
        packed: PackedMap,
        epilogue: Epilogue,
        out: Floats | None = None,
        bits: PackedMap | None = None,
    ) -> None:
        """Run once; see `prepare`."""
        self.prepare(packed, epilogue, out, bits)()

    def prepare(
        self,
        packed: PackedMap,
        epilogue: Epilogue,
        out: Floats | None = None,
        bits: PackedMap | None = None,
    ) -> Callable[[], None]:
        """A function that convolves `packed` into `out` (fp32), `bits` (signs) or both.

        `out` is (N, H', W', Cout), contiguous; `bits` may have any border. The function allocates
        nothing and reads and writes the arrays given here.

        Raises:
            UserError: an operand has another shape or type, or there is no output.
        """
        self._check_input(packed)
        out_shape = self._out_shape(packed.batch)
        epilogue.check(self.shape, packed.batch)
        if out is None and bits is None:
            raise UserError("a binary convolution needs `out`, `bits` or both")
        if out is not None:
            check_array("out", out, out_shape, np.float32)
        if bits is not None:
            _check_map("bits", bits, out_shape, bits.padding)
        if self._native is None:
            from deploy.reference import run_conv

            return lambda: run_conv(
                packed, self.negative, self.shape, self.pad_value, epilogue, out, bits
            )
        struct = library.EpilogueStruct(LINEAR)
        struct.scale, struct.bias = _address(epilogue.scale), _address(epilogue.bias)
        struct.thresholds, struct.out = _address(epilogue.thresholds), _address(out)
        if epilogue.residual is not None:
            struct.residual = _address(epilogue.residual)
            struct.residual_channels = epilogue.residual.shape[-1]
        if epilogue.slope is not None:
            struct.activation, struct.slope = PRELU, _address(epilogue.slope)
        if epilogue.rprelu is not None:
            struct.activation = RPRELU
            struct.gamma, struct.beta, struct.zeta = map(_address, epilogue.rprelu)
        if bits is not None:
            struct.bits = bits.buffer.ctypes.data
            struct.bits_height, struct.bits_width = bits.height, bits.width
            struct.bits_padding, struct.bits_words = bits.padding, bits.num_words
        return self._launch(packed, struct, (epilogue, out, bits))

    def _launch(
        self, packed: PackedMap, epilogue: Structure, keep: object = None
    ) -> Callable[[], None]:
        """The native call; `keep` holds what its pointers point to."""
        struct = library.ConvStruct.from_buffer_copy(self._struct)
        struct.batch, struct.input = packed.batch, packed.buffer.ctypes.data
        struct.num_macs = packed.batch * self.shape.num_macs
        assert self._native is not None
        run, kept = self._native.evobit_run_conv, (packed, keep, self._layout)
        arguments = byref(struct), byref(epilogue)

        def launch(_kept: object = kept) -> None:
            if run(*arguments) != 0:
                raise UserError(
                    f"this convolution was laid out for another instruction set than "
                    f"{backend_info()['isa']}"
                )

        return launch

    def _check_input(self, packed: PackedMap) -> None:
        shape = self.shape
        size = (packed.batch, shape.height, shape.width, shape.in_channels)
        _check_map("packed", packed, size, shape.padding)

    def _out_shape(self, batch: int) -> tuple[int, int, int, int]:
        return (batch, self.shape.out_height, self.shape.out_width, self.shape.out_channels)


def peak_macs(iterations: int) -> int:
    """Run XOR + popcount + add on registers alone; returns the binary multiply-adds done.

    Raises:
        UserError: the kernels are not compiled.
    """
    native = library.load()
    if native is None:
        raise UserError("the compiled kernels are not installed")
    return native.evobit_run_peak(iterations)


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


def _check_map(name: str, packed: PackedMap, size: tuple[int, ...], padding: int) -> None:
    """Demand a packed map of (N, H, W, C) and a border."""
    found = (packed.batch, packed.height, packed.width, packed.channels)
    if found != tuple(size) or packed.padding != padding:
        raise UserError(
            f"{name}: expected a packed map of {tuple(size)} with a border of {padding}, "
            f"found {found} with a border of {packed.padding}"
        )

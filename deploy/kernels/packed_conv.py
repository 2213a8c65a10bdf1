"""Binary convolution, by the compiled kernels or, without them, by torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from ctypes import Structure, byref

import numpy as np
from numpy.typing import NDArray

from deploy.kernels import library
from deploy.kernels.bits import num_weight_bytes, weights_from_bytes, weights_to_bytes
from deploy.kernels.layouts import KIND_NAMES, make_layout
from deploy.kernels.library import backend_info
from deploy.kernels.shapes import ConvShape, Epilogue, Floats, PadValue, SignMap, check_array
from deploy.kernels.signs import check_map
from supernet.files import UserError

LINEAR, PRELU, RPRELU = 0, 1, 2


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
        self._lay_out(weights_to_bytes(negative), shape, pad_value)

    @classmethod
    def from_packed(
        cls, weights: NDArray[np.uint8], shape: ConvShape, pad_value: PadValue = 0
    ) -> BinaryConv:
        """From weights as a packed file holds them; see `deploy.kernels.bits.weights_to_bytes`."""
        conv = cls.__new__(cls)
        conv._lay_out(weights, shape, pad_value)
        return conv

    def _lay_out(self, weights: NDArray[np.uint8], shape: ConvShape, pad_value: PadValue) -> None:
        if pad_value not in (-1, 0, 1):
            raise UserError(f"pad_value: expected -1, 0 or 1, found {pad_value}")
        check_array("weights", weights, (num_weight_bytes(shape),), np.uint8)
        self.weights, self.shape, self.pad_value = weights, shape, pad_value
        self._native = library.load()
        if self._native is None:
            return
        self._layout = layout = make_layout(
            weights, shape, pad_value, bool(self._native.evobit_has_groups())
        )
        padded = (shape.height + 2 * shape.padding) * (shape.width + 2 * shape.padding)
        struct = self._struct = library.ConvStruct(layout.kind)
        struct.out_channels, struct.lane_outputs = shape.out_channels, layout.lane_outputs
        struct.num_steps, struct.num_tiles = layout.num_steps, len(layout.tiles)
        struct.num_units, struct.num_pixels = layout.num_units, shape.out_height * shape.out_width
        struct.out_width, struct.vector_pixels = shape.out_width, layout.vector_pixels
        struct.pixel_words, struct.lane_bits = layout.pixel_words, layout.lane_bits
        struct.gathered, struct.image_words = layout.gathered, padded * shape.num_words
        for name in (
            "tiles weights masks lane_words step_offset pixel_offset pixel_class correction"
        ).split():
            table = getattr(layout, name)
            setattr(struct, name, table.ctypes.data if table.size else None)

    @functools.cached_property
    def negative(self) -> NDArray[np.bool_]:
        """The weights for torch, (Cout, Cin/groups, k, k)."""
        return weights_from_bytes(self.weights, self.shape)

    @property
    def kernel(self) -> str:
        """The kernel that runs it."""
        return KIND_NAMES[self._layout.kind] if self._native else "torch-reference"

    def counts(self, signs: SignMap) -> NDArray[np.int32]:
        """The integer convolution of the signs, (N, H', W', Cout)."""
        self._check_input(signs)
        out = np.empty(self._out_shape(signs.batch), np.int32)
        if self._native is None:
            from deploy.kernels.reference import conv_counts

            return conv_counts(signs, self.negative, self.shape, self.pad_value)
        self._launch(signs, library.EpilogueStruct(counts=out.ctypes.data))()
        return out

    def __call__(
        self,
        signs: SignMap,
        epilogue: Epilogue,
        out: Floats | None = None,
        bits: SignMap | None = None,
    ) -> None:
        """Run once; see `prepare`."""
        self.prepare(signs, epilogue, out, bits)()

    def prepare(
        self,
        signs: SignMap,
        epilogue: Epilogue,
        out: Floats | None = None,
        bits: SignMap | None = None,
    ) -> Callable[[], None]:
        """A function that convolves `signs` into `out` (fp32), `bits` (signs) or both.

        `out` is (N, H', W', Cout), contiguous; `bits` may have any border. The function allocates
        nothing and reads and writes the arrays given here.

        Raises:
            UserError: an operand has another shape or type, or there is no output.
        """
        self._check_operands(signs, epilogue, out, bits)
        if self._native is None:
            from deploy.kernels.reference import run_conv

            return lambda: run_conv(
                signs, self.negative, self.shape, self.pad_value, epilogue, out, bits
            )
        return self._launch(signs, epilogue_struct(epilogue, out, bits), (epilogue, out, bits))

    def structs(
        self,
        signs: SignMap,
        epilogue: Epilogue,
        out: Floats | None = None,
        bits: SignMap | None = None,
    ) -> tuple[Structure, Structure]:
        """The native operands of `prepare`, for a caller that keeps all arrays and `self` alive.

        Raises:
            UserError: as `prepare`.
        """
        self._check_operands(signs, epilogue, out, bits)
        return self._conv_struct(signs), epilogue_struct(epilogue, out, bits)

    def _check_operands(
        self,
        signs: SignMap,
        epilogue: Epilogue,
        out: Floats | None,
        bits: SignMap | None,
    ) -> None:
        self._check_input(signs)
        out_shape = self._out_shape(signs.batch)
        epilogue.check(self.shape, signs.batch)
        if out is None and bits is None:
            raise UserError("a binary convolution needs `out`, `bits` or both")
        if out is not None:
            check_array("out", out, out_shape, np.float32)
        if bits is not None:
            check_map("bits", bits, out_shape, bits.padding)

    def _conv_struct(self, signs: SignMap) -> Structure:
        struct = library.ConvStruct.from_buffer_copy(self._struct)
        struct.batch, struct.input = signs.batch, signs.buffer.ctypes.data
        struct.num_macs = signs.batch * self.shape.num_macs
        return struct

    def _launch(
        self, signs: SignMap, epilogue: Structure, keep: object = None
    ) -> Callable[[], None]:
        """The native call; `keep` holds what its pointers point to."""
        struct = self._conv_struct(signs)
        assert self._native is not None
        run, kept = self._native.evobit_run_conv, (signs, keep, self._layout)
        arguments = byref(struct), byref(epilogue)

        def launch(_kept: object = kept) -> None:
            if run(*arguments) != 0:
                raise UserError(
                    f"this convolution was laid out for another instruction set than "
                    f"{backend_info()['isa']}"
                )

        return launch

    def _check_input(self, signs: SignMap) -> None:
        shape = self.shape
        size = (signs.batch, shape.height, shape.width, shape.in_channels)
        check_map("packed", signs, size, shape.padding)

    def _out_shape(self, batch: int) -> tuple[int, int, int, int]:
        return (batch, self.shape.out_height, self.shape.out_width, self.shape.out_channels)


MakeConv = Callable[[NDArray[np.uint8], ConvShape, PadValue], BinaryConv]
"""From packed weights, a shape and what the border holds."""


def peak_macs(iterations: int) -> int:
    """Run XOR + popcount + add on registers alone; returns the binary multiply-adds done.

    Raises:
        UserError: the kernels are not compiled.
    """
    native = library.load()
    if native is None:
        raise UserError("the compiled kernels are not installed")
    return native.evobit_run_peak(iterations)


def epilogue_struct(epilogue: Epilogue, out: Floats | None, bits: SignMap | None) -> Structure:
    """The native form of an epilogue with its outputs; the caller keeps their arrays alive."""
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
    return struct


def _address(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data

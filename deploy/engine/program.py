"""A plan and its parameters as a native program: every operand laid out, one call for all."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure, addressof, byref, c_int32
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.engine.schedule import Buffer, Schedule, Step, place
from deploy.kernels import library
from deploy.kernels.library import backend_info
from deploy.kernels.packed_conv import BinaryConv, MakeConv, epilogue_struct
from deploy.kernels.real_conv import RealConv
from deploy.kernels.shapes import ConvShape, Epilogue, Floats, SignMap, aligned, aligned_empty
from deploy.plan.plan import Operation, Plan
from deploy.plan.preprocessing import Preprocessing
from supernet.files import UserError

# Those of native/plan.h.
STEP_KINDS = ("input", "pad", "pack", "binary_conv", "conv", "pool")
FOUND_OTHER_ISA, FOUND_BAD_IMAGE, FOUND_BAD_LOGITS = 1, 2, 3

CACHE_BYTES = 1 << 21
MAX_BATCH = 8
"""Small images go through the network together, as many as leave their maps in a core's cache:
steps too short to share among threads become long enough. On one thread it makes no difference."""

MAX_ARENA_BYTES = 1 << 32
"""Far above any network of use; a file that asks for more is damaged or hostile."""

BAD_IMAGE = "image {}: it holds a NaN or an infinity"
BAD_LOGITS = (
    "image {}: the network gives a NaN or an infinity; it is damaged, or the image is far from "
    "what it was trained on"
)


class Program:
    """A network ready to run on the compiled kernels; not for two threads at once.

    Args:
        plan: what is computed.
        parameters: of each operation; see `deploy.plan.parameters.operation_parameters`.
        preprocessing: of uint8 images.
        batch: images that go through the network together, a call may have any number; chosen by
            the size of the maps if absent.
        keep_all: every value is written as floats, to a place of its own; see `values`.
        make_conv: as `BinaryConv.from_packed`, for a caller that keeps convolutions laid out.

    Raises:
        UserError: the maps do not fit the memory.
    """

    def __init__(
        self,
        plan: Plan,
        parameters: Sequence[dict[str, np.ndarray]],
        preprocessing: Preprocessing,
        batch: int | None = None,
        keep_all: bool = False,
        make_conv: MakeConv = BinaryConv.from_packed,
    ) -> None:
        native = library.load()
        assert native is not None, "a program needs the compiled kernels"
        self._native, self._plan, self._make_conv = native, plan, make_conv
        self._schedule = schedule = Schedule(plan, parameters, keep_all)
        self.batch = _batch_of(schedule) if batch is None else batch
        self._parameters = [
            {name: array if name == "bits" else aligned(array) for name, array in own.items()}
            for own in parameters
        ]
        self._levels = preprocessing.levels()
        self._lay_out_memory()
        self._kept: list[Any] = []  # what the structs point to
        self.kernels: list[str] = []
        """What runs each step."""
        steps = (library.StepStruct * len(schedule.steps))()
        for struct, step in zip(steps, schedule.steps, strict=True):
            operands, epilogue, kernel = self._operands(step)
            struct.kind, struct.operands = STEP_KINDS.index(step.kind), addressof(operands)
            struct.epilogue = None if epilogue is None else addressof(epilogue)
            self._kept += [operands, epilogue]
            self.kernels.append(kernel)
        self._steps = steps
        self._struct = library.PlanStruct(self.batch, len(steps), plan.channels, plan.size)
        self._struct.num_classes, self._struct.steps = plan.num_classes, addressof(steps)
        logits = schedule.value(len(plan.operations))
        assert logits is not None
        self._struct.logits = self._floats(logits).ctypes.data

    @property
    def step_names(self) -> list[str]:
        """Of every step, in order."""
        return [step.name for step in self._schedule.steps]

    @property
    def num_bytes(self) -> int:
        """Memory of all maps."""
        return self._arena.size

    def run(self, images: np.ndarray, nanoseconds: NDArray[np.int64] | None = None) -> Floats:
        """Logits (N, classes) of contiguous images (N, C, S, S): uint8, or fp32 as normalised.

        `nanoseconds`, an entry a step, is added to.

        Raises:
            UserError: an image or its logits hold a NaN or an infinity, or the convolutions were
                laid out for another instruction set.
        """
        logits = np.empty((len(images), self._plan.num_classes), np.float32)
        times = None if nanoseconds is None else nanoseconds.ctypes.data
        is_uint8 = images.dtype == np.uint8
        self._call(len(images), images.ctypes.data, is_uint8, logits.ctypes.data, times)
        return logits

    def _call(
        self,
        count: int,
        images: int | None,
        is_uint8: bool,
        logits: int,
        nanoseconds: int | None = None,
        first: int = 0,
    ) -> None:
        """Run `count` images, by addresses; `first` is the number of the first in messages."""
        image = c_int32()
        found = self._native.evobit_run_plan(
            byref(self._struct), count, images, is_uint8, logits, nanoseconds, byref(image)
        )
        if found == FOUND_OTHER_ISA:
            raise UserError(
                "this network was laid out for another instruction set than "
                f"{backend_info()['isa']}; load it again"
            )
        if found == FOUND_BAD_IMAGE:
            raise UserError(BAD_IMAGE.format(first + image.value))
        if found == FOUND_BAD_LOGITS:
            raise UserError(BAD_LOGITS.format(first + image.value))

    def values(self, count: int) -> list[Floats]:
        """Every value (NHWC, the input's first) of the last `count` <= batch images run.

        Only of a program made with `keep_all`.
        """
        assert self._schedule.keep_all and count <= self.batch
        values = []
        for number in range(len(self._plan.operations) + 1):
            buffer = self._schedule.value(number)
            assert buffer is not None
            inner = slice(buffer.padding, -buffer.padding) if buffer.padding else slice(None)
            values.append(self._floats(buffer)[:count, inner, inner].copy())
        return values

    def _lay_out_memory(self) -> None:
        buffers, lifetimes = self._schedule.buffers, self._schedule.lifetimes(self.batch)
        offsets, total = place(lifetimes)
        if total > MAX_ARENA_BYTES:
            raise UserError(
                f"the network's maps need {total:,} bytes, more than {MAX_ARENA_BYTES:,}"
            )
        self._arena = aligned_empty((total,), np.uint8)
        self._arena[:] = 0
        self._memory = {
            buffer: self._arena[at : at + lifetime.num_bytes]
            for buffer, at, lifetime in zip(buffers, offsets, lifetimes, strict=True)
        }

    def _floats(self, buffer: Buffer) -> Floats:
        rows, columns = (side + 2 * buffer.padding for side in buffer.shape.sides)
        shape = (self.batch, rows, columns, buffer.shape.channels)
        return self._memory[buffer].view(np.float32).reshape(shape)

    def _signs(self, buffer: Buffer) -> SignMap:
        words = self._memory[buffer].view(np.uint32)
        (height, width), channels = buffer.shape.sides, buffer.shape.channels
        return SignMap(words, self.batch, height, width, channels, buffer.padding)

    def _operands(self, step: Step) -> tuple[Structure, Structure | None, str]:
        """The step's operands, its epilogue and what runs it."""
        out = None if step.out is None else self._floats(step.out)
        bits = None if step.bits is None else self._signs(step.bits)
        if step.kind == "input":
            assert step.out is not None and out is not None
            struct = library.InputStruct(self._plan.channels, self._plan.size, step.out.padding)
            struct.levels, struct.out = self._levels.ctypes.data, out.ctypes.data
            return struct, None, "input"
        assert step.source is not None
        source = step.source
        sizes = (self.batch, *source.shape.sides, source.shape.channels)
        if step.kind == "pad":
            assert step.out is not None and out is not None
            struct = library.PadStruct(*sizes, step.out.padding)
            struct.input, struct.out = self._floats(source).ctypes.data, out.ctypes.data
            return struct, None, "border"
        if step.kind == "pack":
            assert bits is not None
            struct = library.PackStruct(*sizes, bits.padding, bits.num_words)
            struct.input, struct.bits = self._floats(source).ctypes.data, bits.buffer.ctypes.data
            if step.thresholds is not None:
                struct.thresholds = self._keep(aligned(step.thresholds)).ctypes.data
            return struct, None, "pack"
        assert step.operation is not None
        operation, own = self._plan.operations[step.operation], self._parameters[step.operation]
        if step.kind == "pool":
            assert out is not None
            return self._pool(operation, source, out), None, "pool"
        if step.kind == "binary_conv":
            conv = self._make_conv(
                own["bits"],
                operation.conv_shape(source.shape),
                operation.pad_value,  # type: ignore[arg-type]
            )
            epilogue = self._keep(self._epilogue(step, own, own["scale"]))
            structs = conv.structs(self._signs(source), epilogue, out, bits)
            return *structs, self._keep(conv).kernel
        real = self._keep(RealConv(*_as_conv(operation, source, own["weight"])))
        epilogue = self._keep(self._epilogue(step, own, real.scale))
        struct = real.struct(self._floats(source), self.batch)
        return struct, epilogue_struct(epilogue, out, bits), "real"

    def _keep(self, operand: Any) -> Any:
        self._kept.append(operand)
        return operand

    def _epilogue(self, step: Step, own: dict[str, np.ndarray], scale: Floats) -> Epilogue:
        rprelu = (own["gamma"], own["beta"], own["zeta"]) if "gamma" in own else None
        return Epilogue(
            scale=scale,
            bias=own["bias"],
            residual=None if step.added is None else self._floats(step.added),
            slope=own.get("slope"),
            rprelu=rprelu,
            thresholds=None if step.thresholds is None else aligned(step.thresholds),
        )

    def _pool(self, operation: Operation, source: Buffer, out: Floats) -> Structure:
        (height, width), whole = source.shape.sides, operation.kind == "global_avg_pool"
        struct = library.PoolStruct(self.batch, height, width, operation.channels)
        struct.out_height, struct.out_width = out.shape[1:3]
        struct.window_height = height if whole else operation.kernel_size
        struct.window_width = width if whole else operation.kernel_size
        struct.stride, struct.padding = operation.stride, operation.padding
        struct.is_max = operation.kind in ("max_pool", "max_pool_inside")
        struct.input, struct.out = self._floats(source).ctypes.data, out.ctypes.data
        return struct


def _batch_of(schedule: Schedule) -> int:
    _, num_bytes = place(schedule.lifetimes(1))
    return max(1, min(MAX_BATCH, CACHE_BYTES // num_bytes))


def _as_conv(operation: Operation, source: Buffer, weight: Floats) -> tuple[Floats, ConvShape]:
    """A real convolution's weight and shape; a linear layer is one on 1 x 1 pixels."""
    if operation.kind == "linear":
        return weight[:, :, None, None], ConvShape(1, 1, weight.shape[1], weight.shape[0], 1)
    return weight, operation.conv_shape(source.shape)

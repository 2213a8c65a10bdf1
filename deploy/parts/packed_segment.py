"""Some consecutive blocks of a packed network: images or a map in, a map or logits out."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import addressof
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deploy.engine.packed_network import make_program
from deploy.engine.program import STEP_KINDS, Program
from deploy.engine.reference import ReferenceProgram
from deploy.kernels import library
from deploy.kernels.packed_conv import MakeConv
from deploy.kernels.shapes import Floats, check_array
from deploy.lowering.network import lower_blocks
from deploy.parts.part import PartPlan, unchanged
from deploy.plan.parameters import operation_parameters
from deploy.plan.plan import MapShape, Plan
from deploy.plan.preprocessing import Preprocessing

if TYPE_CHECKING:
    from supernet.network import Network


class PackedSegment:
    """Blocks of a network in evaluation mode.

    Segments after one another give what the whole network gives, bit for bit: a value is the same
    whether it is written out or handed on as signs.

    Args:
        network: a part of one, which begins with a stem or takes a map.
        source: the shape of its input.
        preprocessing: of images; None where it takes a map.
        make_conv: as in `Program`.

    Raises:
        UserError: as `deploy.lowering.network.lower`.
    """

    def __init__(
        self,
        network: Network,
        source: MapShape,
        preprocessing: Preprocessing | None,
        make_conv: MakeConv,
    ) -> None:
        spec = network.spec
        modules = map(network.get_submodule, spec.block_names)
        blocks = zip(spec.block_names, spec.blocks, modules, strict=True)
        operations, parameters = lower_blocks(blocks)
        plan = PartPlan(source.channels, source.height, operations)
        self._end = plan.shapes()[-1]
        own = operation_parameters(plan, parameters)
        self._run = (
            make_program(plan, own, preprocessing, make_conv=make_conv).run
            if preprocessing is not None
            else _MapProgram(plan, own, make_conv).run
            if library.load() is not None
            else _MapReference(plan, own, unchanged(plan.channels)).run
        )

    def __call__(self, batch: np.ndarray) -> Floats:
        """The last value (N, H, W, C); logits are one of 1 x 1 pixels.

        Args:
            batch: contiguous uint8 images (N, C, S, S), or a map (N, S, S, C) of floats.

        Raises:
            UserError: as `Program.run`.
        """
        return self._run(batch).reshape(len(batch), *self._end.sides, self._end.channels)


class _MapProgram(Program):
    """Reads a map (N, S, S, C) in place of images."""

    def __init__(
        self, plan: Plan, parameters: Sequence[dict[str, np.ndarray]], make_conv: MakeConv
    ) -> None:
        super().__init__(plan, parameters, unchanged(plan.channels), make_conv=make_conv)
        entry = self._schedule.steps[0].out
        assert entry is not None
        # In place of the step that takes images apart: the native code knows no other beginning,
        # so that the map's address is set here, before each batch.
        self._entry = library.PadStruct(
            self.batch, plan.size, plan.size, plan.channels, entry.padding
        )
        self._entry.out = self._floats(entry).ctypes.data
        self._steps[0].kind = STEP_KINDS.index("pad")
        self._steps[0].operands = addressof(self._entry)

    def run(self, images: np.ndarray, nanoseconds: NDArray[np.int64] | None = None) -> Floats:
        """The last value of each map of `images`, flat."""
        plan = self._plan
        check_array("map", images, (len(images), plan.size, plan.size, plan.channels), np.float32)
        out = np.empty((len(images), plan.num_classes), np.float32)
        times = None if nanoseconds is None else nanoseconds.ctypes.data
        start, end = images.ctypes.data, out.ctypes.data
        for first in range(0, len(images), self.batch):
            self._entry.input = start + first * images.strides[0]
            count = min(self.batch, len(images) - first)
            self._call(count, None, False, end + first * out.strides[0], times, first)
        return out


class _MapReference(ReferenceProgram):
    """As `_MapProgram`, by torch."""

    def run(self, images: np.ndarray, nanoseconds: NDArray[np.int64] | None = None) -> Floats:
        return super().run(images.transpose(0, 3, 1, 2), nanoseconds)

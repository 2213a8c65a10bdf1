"""A loaded packed network: images in, logits out."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deploy.engine.program import Program
from deploy.kernels import library
from deploy.kernels.packed_conv import BinaryConv, MakeConv
from deploy.kernels.shapes import Floats
from deploy.plan.parameters import Parameters, operation_parameters
from deploy.plan.plan import Plan
from deploy.plan.preprocessing import Preprocessing
from supernet.files import UserError
from supernet.files.image_view import View

MAX_IMAGES = (1 << 31) - 1


class AnyProgram(Protocol):
    """A plan on some backend."""

    batch: int
    kernels: list[str]

    @property
    def step_names(self) -> list[str]: ...

    def run(self, images: np.ndarray, nanoseconds: NDArray[np.int64] | None = None) -> Floats: ...

    def values(self, count: int) -> list[Floats]: ...


def make_program(
    plan: Plan,
    parameters: Sequence[dict[str, np.ndarray]],
    preprocessing: Preprocessing,
    keep_all: bool = False,
    make_conv: MakeConv = BinaryConv.from_packed,
) -> AnyProgram:
    """The plan on the compiled kernels, or where they are not installed, in torch."""
    if library.load() is None:
        from deploy.engine.reference import ReferenceProgram

        return ReferenceProgram(plan, parameters, preprocessing)
    return Program(plan, parameters, preprocessing, keep_all=keep_all, make_conv=make_conv)


@dataclass(frozen=True)
class StepTime:
    """Where the time of a call goes: one step of a network."""

    name: str
    kernel: str
    seconds: float
    """Median over rounds, for all images of the call."""


_with_locks: weakref.WeakSet[PackedNetwork] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a child of a fork: a thread that held a lock in the parent is not there to free it."""
    for network in _with_locks:
        network._lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


class PackedNetwork:
    """A packed 1-bit network; may be called from several threads, which take turns.

    Args:
        plan: what is computed.
        parameters: all its numbers.
        preprocessing: what uint8 images go through.
        class_names: of each logit, or none.
        view: how an image file becomes what `preprocessing` takes, or none where that is not known.

    Raises:
        UserError: the parts do not fit each other.
    """

    def __init__(
        self,
        plan: Plan,
        parameters: Parameters,
        preprocessing: Preprocessing,
        class_names: Sequence[str] = (),
        view: View | None = None,
    ) -> None:
        if len(preprocessing.mean) != plan.channels:
            raise UserError(
                f"the preprocessing is of {len(preprocessing.mean)} channels, "
                f"the network's images have {plan.channels}"
            )
        if class_names and len(class_names) != plan.num_classes:
            raise UserError(
                f"{len(class_names)} class names for a network of {plan.num_classes} classes"
            )
        if view is not None and (view.size, view.channels) != (plan.size, plan.channels):
            raise UserError(
                f"its view gives images of {view.channels} x {view.size} x {view.size}, the "
                f"network takes {plan.channels} x {plan.size} x {plan.size}"
            )
        self.plan, self.parameters, self.preprocessing = plan, parameters, preprocessing
        self.class_names, self.view = tuple(class_names), view
        self._parameters = operation_parameters(plan, parameters)
        self._lock = threading.Lock()
        _with_locks.add(self)
        self._checked: AnyProgram | None = None
        self._program = self._make_program(keep_all=False)

    def __call__(self, images: Any) -> Floats:
        """Logits, fp32 (N, classes).

        Args:
            images: NumPy array or torch tensor on the CPU, (N, C, S, S) or one image (C, S, S).
                uint8 levels, or float32 as the preprocessing gives them.

        Raises:
            UserError: another shape or type, or a NaN or an infinity in an image or in what the
                network makes of it.
        """
        array = self._images(images)
        with self._lock:
            return self._program.run(array)

    def values(self, images: Any) -> list[Floats]:
        """Every value of the plan, (N, H, W, C), the normalised images first.

        To compare operation by operation: a second program writes what the first keeps as bits.

        Raises:
            UserError: as a call.
        """
        array = self._images(images)
        if not len(array):
            shapes = self.plan.shapes()
            return [np.empty((0, *shape.sides, shape.channels), np.float32) for shape in shapes]
        with self._lock:
            if self._checked is None:
                self._checked = self._make_program(keep_all=True)
            parts = []
            for first in range(0, len(array), self._checked.batch):
                part = array[first : first + self._checked.batch]
                self._checked.run(part)
                parts.append(self._checked.values(len(part)))
        return [np.concatenate(value) for value in zip(*parts, strict=True)]

    def layer_times(self, images: Any, rounds: int) -> list[StepTime]:
        """The time of each step of a call with these images, after one call to warm up.

        Raises:
            UserError: as a call, or `rounds` is below 1.
        """
        if rounds < 1:
            raise UserError(f"rounds: expected at least 1, found {rounds}")
        array, names = self._images(images), self._program.step_names
        times = np.zeros((rounds, len(names)), np.int64)
        with self._lock:
            self._program.run(array)
            for row in times:
                self._program.run(array, row)
        seconds = np.median(times, axis=0) / 1e9
        return [
            StepTime(*row)
            for row in zip(names, self._program.kernels, seconds.tolist(), strict=True)
        ]

    @property
    def batch(self) -> int:
        """Images that go through the network together; a call may have any number."""
        return self._program.batch

    @property
    def backend(self) -> library.BackendInfo:
        """Which code runs it."""
        return library.backend_info()

    def _make_program(self, keep_all: bool) -> AnyProgram:
        return make_program(self.plan, self._parameters, self.preprocessing, keep_all)

    def _images(self, images: Any) -> np.ndarray:
        """As a contiguous batch (N, C, S, S) of uint8 or float32."""
        plan = self.plan
        # A tensor that needs gradients has an __array__ that refuses.
        taken = images.detach() if hasattr(images, "detach") else images
        try:
            array = np.asarray(taken)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"images: not an array on the CPU ({error})") from error
        if array.dtype not in (np.uint8, np.float32):
            raise UserError(
                f"images: found {array.dtype.name}, expected uint8 levels from 0 to 255 or float32 "
                "that is already normalised"
            )
        if array.ndim == 3:
            array = array[None]
        size = (plan.channels, plan.size, plan.size)
        if array.ndim != 4 or array.shape[1:] != size:
            raise UserError(
                f"images: found shape {tuple(np.shape(taken))}, expected (N, {size[0]}, {size[1]}, "
                f"{size[2]}) or {size}"
            )
        if len(array) > MAX_IMAGES:
            raise UserError(f"images: {len(array)} at once, expected at most {MAX_IMAGES}")
        return np.ascontiguousarray(array)

"""A plan by torch: the network where the compiled kernels are not installed, and a second opinion.

Binary convolutions count exactly and round as the kernels do. torch is imported at the first call.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from deploy.engine.program import BAD_IMAGE, BAD_LOGITS
from deploy.kernels.bits import binarize_map, weights_from_bytes
from deploy.kernels.reference import apply_epilogue, conv_counts
from deploy.kernels.shapes import Epilogue, Floats
from deploy.plan.plan import MapShape, Operation, Plan
from deploy.plan.preprocessing import Preprocessing
from supernet.files import UserError

REFERENCE_BATCH = 8


class ReferenceOperation:
    """One operation, by torch.

    Args:
        operation: what is computed.
        source: shape of its source.
        parameters: its own; see `deploy.plan.parameters.operation_parameters`.
    """

    def __init__(
        self, operation: Operation, source: MapShape, parameters: dict[str, np.ndarray]
    ) -> None:
        self.operation, self.source, self.parameters = operation, source, parameters

    @cached_property
    def _negative(self) -> NDArray[np.bool_]:
        shape = self.operation.conv_shape(self.source)
        return weights_from_bytes(np.ascontiguousarray(self.parameters["bits"]), shape)

    def __call__(self, x: Floats, added: Floats | None = None) -> Floats:
        """Its value (N, H', W', C) for the source (N, H, W, Cin) and the value to be added."""
        own, operation = self.parameters, self.operation
        if operation.kind == "binary_conv":
            signs = binarize_map(x, own.get("thresholds"), operation.padding)
            counts = conv_counts(
                signs,
                self._negative,
                operation.conv_shape(self.source),
                operation.pad_value,  # type: ignore[arg-type]
            )
            return apply_epilogue(counts, self._epilogue(own["scale"], added))
        y = self._real(x)
        if operation.kind not in ("conv", "linear"):
            return y
        return apply_epilogue(y, self._epilogue(np.ones_like(own["bias"]), added))

    def _epilogue(self, scale: Floats, added: Floats | None) -> Epilogue:
        own = self.parameters
        rprelu = (own["gamma"], own["beta"], own["zeta"]) if "gamma" in own else None
        return Epilogue(scale, own["bias"], added, own.get("slope"), rprelu)

    def _real(self, x: Floats) -> Floats:
        """Sums and pools, without a bias."""
        import torch
        from torch.nn import functional as F

        operation, own = self.operation, self.parameters
        window = (operation.kernel_size, operation.stride, operation.padding)
        maps = torch.from_numpy(x).permute(0, 3, 1, 2)
        with torch.no_grad():
            if operation.kind == "conv":
                weight = torch.from_numpy(own["weight"].copy())
                y = F.conv2d(maps, weight, None, *window[1:], 1, operation.groups)
            elif operation.kind == "linear":
                weight = torch.from_numpy(own["weight"].copy())
                y = F.conv2d(maps, weight[:, :, None, None])
            elif operation.kind == "avg_pool":
                y = F.avg_pool2d(maps, *window, ceil_mode=True, count_include_pad=False)
            elif operation.kind in ("max_pool", "max_pool_inside"):
                y = F.max_pool2d(maps, *window, ceil_mode=operation.kind == "max_pool")
            else:
                y = maps.mean((2, 3), keepdim=True)
            return np.ascontiguousarray(y.permute(0, 2, 3, 1).numpy())


class ReferenceProgram:
    """A whole plan by torch, with the interface of `deploy.engine.program.Program`.

    Args:
        plan: what is computed.
        parameters: of each operation.
        preprocessing: of uint8 images.
        batch: images that go through the network together.
    """

    def __init__(
        self,
        plan: Plan,
        parameters: Sequence[dict[str, np.ndarray]],
        preprocessing: Preprocessing,
        batch: int = REFERENCE_BATCH,
    ) -> None:
        shapes = plan.shapes()
        self._plan, self._levels, self.batch = plan, preprocessing.levels(), batch
        self._operations = [
            ReferenceOperation(operation, shapes[operation.source], own)
            for operation, own in zip(plan.operations, parameters, strict=True)
        ]
        self.step_names = [operation.name for operation in plan.operations]
        self.kernels = ["torch-reference"] * len(plan.operations)

    def run(self, images: np.ndarray, nanoseconds: NDArray[np.int64] | None = None) -> Floats:
        """As `Program.run`."""
        logits = np.empty((len(images), self._plan.num_classes), np.float32)
        for first in range(0, len(images), self.batch):
            part = slice(first, first + self.batch)
            with np.errstate(over="ignore", invalid="ignore"):  # found in the logits
                self._values = self._run_batch(images[part], first, nanoseconds)
            logits[part] = self._values[-1].reshape(-1, logits.shape[1])
            self._refuse(logits[part], first, BAD_LOGITS)
        return logits

    def values(self, count: int) -> list[Floats]:
        """As `Program.values`."""
        return [value[:count] for value in self._values]

    def _run_batch(
        self, images: np.ndarray, first: int, nanoseconds: NDArray[np.int64] | None
    ) -> list[Floats]:
        if images.dtype == np.uint8:
            images = self._levels[np.arange(images.shape[1])[:, None, None], images]
        self._refuse(images, first, BAD_IMAGE)
        values = [np.ascontiguousarray(images.transpose(0, 2, 3, 1))]
        for index, operation in enumerate(self._operations):
            start = time.perf_counter_ns()
            add = operation.operation.add
            added = None if add is None else values[add]
            values.append(operation(values[operation.operation.source], added))
            if nanoseconds is not None:
                nanoseconds[index] += time.perf_counter_ns() - start
        return values

    def _refuse(self, array: Floats, first: int, message: str) -> None:
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        if not finite.all():
            raise UserError(message.format(first + int(finite.argmin())))

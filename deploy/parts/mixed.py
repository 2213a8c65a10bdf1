"""A network some of whose blocks have no packed operations: those run in torch, the others packed.

Neighbouring blocks that can be packed are one program, from a map to a map; between two programs
torch runs the blocks as they are: fp32, channels last, BatchNorm not folded, as many threads as the
kernels have. No packed file holds such a network: it is for measuring what one would take.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deploy.engine.packed_network import StepTime, make_program
from deploy.kernels.library import backend_info
from deploy.kernels.shapes import Floats
from deploy.lowering.network import is_packable, lower_blocks
from deploy.parts.part import PartPlan, unchanged
from deploy.plan.parameters import operation_parameters
from deploy.plan.preprocessing import Preprocessing
from supernet.spec import BlockSpec, LogitsSpec

if TYPE_CHECKING:
    from supernet.network import Network

Block = tuple[str, BlockSpec, Any]
"""Its name, spec and module."""


class MixedNetwork:
    """A network in evaluation mode, packed where it can be; computes what torch computes.

    Args:
        network: is kept: torch runs some of its blocks.
        mean: of pixels in [0, 1], as std.
    """

    def __init__(self, network: Network, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        import torch

        spec, preprocessing = network.spec, Preprocessing(mean, std)
        modules = map(network.get_submodule, spec.block_names)
        blocks = list(zip(spec.block_names, spec.blocks, modules, strict=True))
        x: Any = torch.zeros(1, spec.in_channels, spec.image_size, spec.image_size)
        self._parts: list[_PackedPart | _TorchPart] = []
        before = ""
        for part, after in _parts(blocks):
            if is_packable(part[0][1]):
                _, channels, size, _ = x.shape
                packed = _PackedPart(part, channels, size, preprocessing, before, after)
                self._parts.append(packed)
            else:
                self._parts.append(_TorchPart(part, preprocessing))
            with torch.inference_mode():  # for the shape of what the next part takes
                for *_, module in part:
                    x = module(x)
            before = part[-1][0]

    def __call__(self, images: NDArray[np.uint8] | Floats) -> Floats:
        """Logits (N, classes) of images (N, C, S, S): uint8, or fp32 as normalised."""
        with _as_many_threads():
            return self._run(images)

    def layer_times(self, images: NDArray[np.uint8] | Floats, rounds: int) -> list[StepTime]:
        """The time of each step of a call with these images, after one call to warm up.

        A block in torch is one step. What hands a map over, either way, are steps named after the
        block in torch.
        """
        names = [name for part in self._parts for name in part.step_names]
        kernels = [kernel for part in self._parts for kernel in part.kernels]
        times = np.zeros((rounds, len(names)), np.int64)
        with _as_many_threads():
            self._run(images)
            for row in times:
                self._run(images, row)
        seconds = np.median(times, axis=0) / 1e9
        return [StepTime(*step) for step in zip(names, kernels, seconds.tolist(), strict=True)]

    def _run(self, images: np.ndarray, nanoseconds: NDArray[np.int64] | None = None) -> Floats:
        values, first = images, 0
        for part in self._parts:
            own = slice(first, first := first + len(part.step_names))
            values = part.run(values, None if nanoseconds is None else nanoseconds[own])
        return values.reshape(len(images), -1)


class _PackedPart:
    """A program for some blocks, from (N, C, S, S) without gaps to (N, C', S', S').

    `before`, `after`: names of the blocks in torch on both sides, or empty.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        channels: int,
        size: int,
        preprocessing: Preprocessing,
        before: str,
        after: str,
    ) -> None:
        operations, parameters = lower_blocks(blocks)
        plan = PartPlan(channels, size, operations)
        if before:  # it takes a map, not an image
            preprocessing = unchanged(channels)
        own = operation_parameters(plan, parameters)
        self._program, self._end = make_program(plan, own, preprocessing), plan.shapes()[-1]
        steps = self._program.step_names
        if before:  # what is done to the map for its readers is theirs
            renamed = {"input": f"{before}.handed_over"}
            steps = [renamed.get(s, s.replace("input:", f"{blocks[0][0]}:")) for s in steps]
        self.step_names, self.kernels = list(steps), list(self._program.kernels)
        if after:  # the rest of the call: the map is copied
            self.step_names.append(f"{after}.handed_over")
            self.kernels.append("copy")

    def run(self, values: np.ndarray, nanoseconds: NDArray[np.int64] | None) -> Floats:
        if nanoseconds is None:
            ends = self._program.run(values)
        else:
            began, steps = time.perf_counter_ns(), nanoseconds[: len(self._program.step_names)]
            ends = self._program.run(values, steps)
            nanoseconds[len(steps) :] += time.perf_counter_ns() - began - steps.sum()
        maps = ends.reshape(-1, *self._end.sides, self._end.channels)
        return maps.transpose(0, 3, 1, 2)  # channels last in memory, as torch wants them


class _TorchPart:
    """Blocks in torch, from images or maps (N, C, S, S) to maps or logits."""

    def __init__(self, blocks: Sequence[Block], preprocessing: Preprocessing) -> None:
        import torch

        self._modules = [module.to(memory_format=torch.channels_last) for *_, module in blocks]
        self._scale, self._shift = (
            torch.from_numpy(values)[:, None, None] for values in preprocessing.scale_and_shift()
        )
        self.step_names = [name for name, *_ in blocks]
        self.kernels = ["torch"] * len(blocks)

    def run(self, values: np.ndarray, nanoseconds: NDArray[np.int64] | None) -> Floats:
        import torch

        clock = [time.perf_counter_ns()]
        with torch.inference_mode():
            x = self._taken(values)
            for module in self._modules:
                x = module(x)
                clock.append(time.perf_counter_ns())
            ends = np.ascontiguousarray(x.numpy())
        clock[-1] = time.perf_counter_ns()  # a block's time is with taking and giving a map
        if nanoseconds is not None:
            nanoseconds += np.diff(clock)
        return ends

    def _taken(self, values: np.ndarray) -> Any:
        import torch

        x = torch.from_numpy(values)
        if x.dtype == torch.uint8:
            x = x * self._scale - self._shift
        return x.contiguous(memory_format=torch.channels_last)


def _parts(blocks: Sequence[Block]) -> list[tuple[list[Block], str]]:
    """Neighbours that run alike, and the name of the block after them or nothing."""
    parts: list[list[Block]] = []
    for block in blocks:
        spec = block[1]
        # LogitsSpec, which is no operation, goes with the block before it.
        alike = parts and (
            isinstance(spec, LogitsSpec) or is_packable(spec) == is_packable(parts[-1][0][1])
        )
        if alike:
            parts[-1].append(block)
        else:
            parts.append([block])
    after = [*(part[0][0] for part in parts[1:]), ""]
    return list(zip(parts, after, strict=True))


@contextmanager
def _as_many_threads() -> Iterator[None]:
    """Torch on as many threads as the kernels, for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(backend_info()["threads"])
    try:
        yield
    finally:
        torch.set_num_threads(before)

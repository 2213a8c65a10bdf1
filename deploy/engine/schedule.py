"""A plan's operations as steps on buffers: which values are floats, which are signs, and when.

A value that only binary convolutions read is never written as floats: the convolution that makes
it writes the signs its reader wants. Further readers with another border or other thresholds, and
values made by pools or by the input, get a step that binarizes them.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from deploy.kernels.shapes import SLACK_WORDS, Floats
from deploy.plan.plan import MapShape, Operation, Plan
from supernet.files import UserError

StepKind = Literal["input", "pad", "pack", "binary_conv", "conv", "pool"]
"""What the native code calls a step; `pack` turns floats into signs."""


@dataclass(eq=False)
class Buffer:
    """A map in memory: floats, or signs, with a border; alive from step first to last."""

    shape: MapShape
    padding: int
    holds_signs: bool
    first: int
    last: int

    def num_bytes(self, batch: int) -> int:
        """Both kinds take 4 bytes a float or word."""
        words = self.shape.channels
        if self.holds_signs:
            words = -(-words // 32)
        rows, columns = (side + 2 * self.padding for side in self.shape.sides)
        return 4 * (batch * rows * columns * words + (SLACK_WORDS if self.holds_signs else 0))


@dataclass(frozen=True)
class Step:
    """One native call: what it reads, and what it writes (floats, signs or both)."""

    kind: StepKind
    name: str
    operation: int | None = None
    """Its index in the plan; none where a step only prepares a value for its readers."""
    source: Buffer | None = None
    added: Buffer | None = None
    out: Buffer | None = None
    bits: Buffer | None = None
    thresholds: Floats | None = None
    """Of the signs in `bits`."""


@dataclass
class _Wanted:
    """The forms in which a value is read: floats by border width, signs by border and threshold."""

    paddings: set[int] = field(default_factory=set)
    signs: dict[tuple[int, bytes], Floats | None] = field(default_factory=dict)


class Schedule:
    """The steps of a plan, in order.

    Args:
        plan: what is computed.
        parameters: of each operation; see `deploy.plan.parameters.operation_parameters`.
        keep_all: every value is written as floats and stays readable.
        borders: maps carry the border that their readers' padding asks for.
    """

    def __init__(
        self,
        plan: Plan,
        parameters: Sequence[dict[str, np.ndarray]],
        keep_all: bool = False,
        borders: bool = True,
    ) -> None:
        self.plan, self.keep_all, self._borders = plan, keep_all, borders
        self.steps: list[Step] = []
        self.buffers: list[Buffer] = []
        self._shapes = plan.shapes()
        self._wanted = [_Wanted() for _ in self._shapes]
        self._floats: dict[tuple[int, int], Buffer] = {}
        self._signs: dict[tuple[int, int, bytes], Buffer] = {}
        self._gather_wanted(parameters)
        self._add_input()
        for index, operation in enumerate(plan.operations):
            self._add_operation(index, operation, parameters[index].get("thresholds"))
        for buffer in self._floats.values():
            if keep_all or buffer is self.value(len(plan.operations)):
                buffer.last = len(self.steps)

    def value(self, number: int) -> Buffer | None:
        """The floats of a value, if they are written; those of the input may have a border."""
        return self._floats.get((number, 0 if number else self._input_padding))

    def lifetimes(self, batch: int) -> list[Lifetime]:
        """What each buffer needs, in the order of `buffers`."""
        whole = len(self.steps)
        if self.keep_all:
            return [Lifetime(b.num_bytes(batch), 0, whole) for b in self.buffers]
        return [Lifetime(b.num_bytes(batch), b.first, b.last) for b in self.buffers]

    def _gather_wanted(self, parameters: Sequence[dict[str, np.ndarray]]) -> None:
        for operation, own in zip(self.plan.operations, parameters, strict=True):
            wanted = self._wanted[operation.source]
            if operation.kind == "binary_conv":
                thresholds = own.get("thresholds")
                wanted.signs[self._sign_form(operation, thresholds)] = thresholds
            else:
                wanted.paddings.add(self._border(operation))
            if operation.add is not None:
                self._wanted[operation.add].paddings.add(0)
        self._wanted[-1].paddings.add(0)

    def _add_input(self) -> None:
        wanted = self._wanted[0]
        # One border alone is written at once; else each is added to a copy.
        alone = len(wanted.paddings) == 1 and not wanted.signs
        self._input_padding = next(iter(wanted.paddings)) if alone else 0
        out = self._write_floats(0, self._input_padding)
        self._add(Step("input", "input", out=out))
        self._add_forms(0, "input", out, list(wanted.signs))

    def _add_operation(self, index: int, operation: Operation, thresholds: Floats | None) -> None:
        value, wanted = index + 1, self._wanted[index + 1]
        forms = list(wanted.signs)
        own_form = forms[0] if forms and operation.kind in ("conv", "binary_conv") else None
        to_binarize = forms[1:] if own_form else forms
        floats = self.keep_all or to_binarize or wanted.paddings or not own_form
        out = self._write_floats(value, 0) if floats else None
        bits = self._write_signs(value, own_form) if own_form else None
        self._add(
            Step(
                kind=_step_kind(operation),
                name=operation.name,
                operation=index,
                source=self._source_of(operation, thresholds),
                added=None if operation.add is None else self._floats[operation.add, 0],
                out=out,
                bits=bits,
                thresholds=wanted.signs[own_form] if own_form else None,
            )
        )
        if out is not None:
            self._add_forms(value, operation.name, out, to_binarize)

    def _source_of(self, operation: Operation, thresholds: Floats | None) -> Buffer:
        if operation.kind == "binary_conv":
            return self._signs[operation.source, *self._sign_form(operation, thresholds)]
        return self._floats[operation.source, self._border(operation)]

    def _border(self, operation: Operation) -> int:
        """Pixels around the map that a convolution reads; pools stay inside."""
        is_conv = operation.kind in ("conv", "binary_conv")
        return operation.padding if self._borders and is_conv else 0

    def _sign_form(self, operation: Operation, thresholds: Floats | None) -> tuple[int, bytes]:
        """What two readers of the same signs have in common."""
        return self._border(operation), b"" if thresholds is None else thresholds.tobytes()

    def _add_forms(
        self, value: int, name: str, out: Buffer, forms: list[tuple[int, bytes]]
    ) -> None:
        """Steps that give the value's other borders and signs, at once: it is still in cache."""
        wanted = self._wanted[value]
        for padding in sorted(wanted.paddings - {0, out.padding}):
            padded = self._write_floats(value, padding)
            self._add(Step("pad", f"{name}: border", source=out, out=padded))
        for form in forms:
            bits = self._write_signs(value, form)
            limits = wanted.signs[form]
            self._add(Step("pack", f"{name}: signs", source=out, bits=bits, thresholds=limits))

    def _write_floats(self, value: int, padding: int) -> Buffer:
        buffer = self._floats[value, padding] = self._new_buffer(value, padding, False)
        return buffer

    def _write_signs(self, value: int, form: tuple[int, bytes]) -> Buffer:
        buffer = self._signs[value, *form] = self._new_buffer(value, form[0], True)
        return buffer

    def _new_buffer(self, value: int, padding: int, holds_signs: bool) -> Buffer:
        now = len(self.steps)
        self.buffers.append(Buffer(self._shapes[value], padding, holds_signs, now, now))
        return self.buffers[-1]

    def _add(self, step: Step) -> None:
        for buffer in (step.source, step.added):
            if buffer is not None:
                buffer.last = len(self.steps)
        self.steps.append(step)


def _step_kind(operation: Operation) -> StepKind:
    if operation.kind == "binary_conv":
        return "binary_conv"
    return "conv" if operation.kind in ("conv", "linear") else "pool"


ALIGNMENT = 64
"""Bytes; a cache line."""


@dataclass(frozen=True)
class Lifetime:
    """Bytes needed from step `first`, which writes them, to step `last`, which reads them last."""

    num_bytes: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are needed in some step. A step never writes over what it reads."""
        return self.first <= other.last and other.first <= self.last


MAX_MAPS_BYTES = 1 << 30
"""Of all maps of one image that are needed at a time."""


def place(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """The offset of each, in bytes, and the bytes needed in all.

    The largest is placed first, each at the lowest offset that is free for its whole life.

    Raises:
        UserError: more than MAX_MAPS_BYTES in all.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []  # by offset
    total = 0
    for index in sorted(range(len(lifetimes)), key=lambda i: -lifetimes[i].num_bytes):
        own, offset = lifetimes[index], 0
        for other in placed:
            if lifetimes[other].meets(own):
                if offset + own.num_bytes <= offsets[other]:
                    break
                offset = max(offset, _round_up(offsets[other] + lifetimes[other].num_bytes))
        offsets[index] = offset
        total = max(total, offset + own.num_bytes)
        if total > MAX_MAPS_BYTES:
            raise UserError(f"its maps need over {MAX_MAPS_BYTES:,} bytes for one image")
        bisect.insort(placed, index, key=lambda i: offsets[i])
    return offsets, total


def _round_up(num_bytes: int) -> int:
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT

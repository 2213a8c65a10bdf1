"""Where a C program keeps the maps of a plan: floats and signs each in a static array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deploy.c_export.literals import num_pairs
from deploy.engine.schedule import Buffer, Lifetime, Schedule, Step, place
from deploy.plan.plan import Plan
from supernet.files import UserError

MAX_ARENA_BYTES = (1 << 31) - 1
"""What 32-bit offsets reach."""


class Arena:
    """The steps of a plan for one image, without borders, and the place of every map.

    Floats and signs have an array each, so that no byte is ever read as two types. A sum may take
    the place of the value that is added, where nothing reads that one afterwards.

    Args:
        plan: what is computed.
        parameters: of each operation; see `deploy.plan.parameters.operation_parameters`.

    Raises:
        UserError: the maps are too large for 32-bit offsets.
    """

    def __init__(self, plan: Plan, parameters: Sequence[dict[str, np.ndarray]]) -> None:
        self._schedule = Schedule(plan, parameters, borders=False)
        self.steps: list[Step] = self._schedule.steps
        self._at: dict[Buffer, int] = {}
        """In bytes."""
        home = _shared(self.steps)
        floats, signs = (
            [b for b in self._schedule.buffers if b.holds_signs is wanted]
            for wanted in (False, True)
        )
        self.num_floats = self._place(floats, home) // 4
        self.num_pairs = self._place(signs, home) // 8
        if self.num_bytes > MAX_ARENA_BYTES:
            raise UserError(
                f"the network's maps need {self.num_bytes:,} bytes, more than {MAX_ARENA_BYTES:,}"
            )
        logits = self._schedule.value(len(plan.operations))
        assert logits is not None
        self.logits = self.place_of(logits)
        """Where the last value lies."""

    @property
    def num_bytes(self) -> int:
        """Of both arrays."""
        return 4 * self.num_floats + 8 * self.num_pairs

    def place_of(self, buffer: Buffer) -> str:
        """A buffer's first float or word, as an expression in C."""
        if buffer.holds_signs:
            return f"signs + {self._at[buffer] // 8} * EVOBIT_PAIR_WORDS"
        return f"values + {self._at[buffer] // 4}"

    def _place(self, buffers: Sequence[Buffer], home: dict[Buffer, Buffer]) -> int:
        """Find a place for each; returns the bytes of all."""
        roots = [buffer for buffer in buffers if home[buffer] is buffer]
        lives = []
        for root in roots:
            last = max(buffer.last for buffer in buffers if home[buffer] is root)
            lives.append(Lifetime(_num_bytes(root), root.first, last))
        offsets, total = place(lives)
        at = dict(zip(roots, offsets, strict=True))
        self._at |= {buffer: at[home[buffer]] for buffer in buffers}
        return total


def _shared(steps: Sequence[Step]) -> dict[Buffer, Buffer]:
    """The buffer in whose place each lies: its own, or that of what its step adds.

    The kernel reads an added value just before it writes the sum to the same place. What is
    convolved must lie elsewhere: it is read again for every output channel.
    """
    home: dict[Buffer, Buffer] = {}
    for number, step in enumerate(steps):
        for made in (step.out, step.bits):
            if made is not None:
                home[made] = made
        out, added = step.out, step.added
        if out is None or added is None or added is step.source:
            continue
        if added.last == number and added.shape == out.shape:
            home[out] = home[added]
    return home


def _num_bytes(buffer: Buffer) -> int:
    num_values = buffer.shape.height * buffer.shape.width * buffer.shape.channels
    return 8 * num_pairs(num_values) if buffer.holds_signs else 4 * num_values

"""Scoring pools: where candidates are scored. This file holds the contract and the serial pool."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from search.pools.work_queue import Supply
from search.scoring.tasks import (
    Arrays,
    Failure,
    Item,
    OutOfMemory,
    Result,
    ScorerFactory,
    score_batch,
)

WAITS_FOR_NOTHING = "an item waits for results that were all taken"
"""What is wrong with `items` that give None while nothing is being scored."""


ATTEMPTS = 3
"""Times that its worker died or found no memory before a candidate is given up."""


def out_of_tries() -> Failure:
    """Of a candidate that is given up; the same words whatever happened, and with any settings."""
    return Failure(f"its worker died, hung or ran out of memory, {ATTEMPTS} times")


class ScoringPool(ABC):
    """Scores candidates; a context manager that holds its workers from enter to exit.

    The score of an architecture is the same in every pool with the same `factory`, `arrays` and
    number of threads.
    """

    @abstractmethod
    def score(self, items: Iterable[Item | None]) -> Iterator[tuple[int, Result]]:
        """Yield (index, score or failure) once for each item, as they are ready.

        `items` is read no further than workers are free, or fill their batches. It gives None
        where there is no item until more results are taken, and is then asked again.

        Called between enter and exit, and not again before the last result was taken. A scorer's
        exception and a score that is no finite number are failures of that candidate alone.

        Raises:
            RuntimeError: no worker is left.
        """

    @abstractmethod
    def __enter__(self) -> Self:
        """Start the workers.

        Raises:
            UserError: the machine or cluster cannot offer the workers asked for.
            Exception: what `factory` raised.
        """

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the workers and leave no process behind."""


class SerialPool(ScoringPool):
    """Scores in this process on `threads` torch threads, `batch` candidates at a time."""

    def __init__(
        self, factory: ScorerFactory, arrays: Arrays, threads: int = 1, batch: int = 1
    ) -> None:
        self._factory = factory
        self._arrays = arrays
        self._threads = threads
        self._batch = batch

    def __enter__(self) -> Self:
        """Make the scorer."""
        self._threads_before = set_torch_threads(self._threads)
        self._scorer = self._factory(self._arrays)
        before = set_torch_threads(self._threads)  # The factory may have imported torch.
        self._threads_before = self._threads_before or before
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop the scorer and restore the number of threads."""
        del self._scorer
        if self._threads_before:
            set_torch_threads(self._threads_before)

    def score(self, items: Iterable[Item | None]) -> Iterator[tuple[int, Result]]:
        """Score in the order given, batch by batch."""
        supply = Supply(items, self._batch)
        attempts: dict[int, int] = {}
        while not supply.is_empty:
            batch = supply.take()
            for place, result in score_batch(self._scorer, [task for _, task in batch]):
                index = batch[place][0]
                if not isinstance(result, OutOfMemory):
                    yield index, result
                    continue
                attempts[index] = attempts.get(index, 0) + 1
                if attempts[index] < ATTEMPTS:
                    supply.give_back([batch[place]])
                else:
                    yield index, out_of_tries()
        assert supply.is_over, WAITS_FOR_NOTHING


def set_torch_threads(threads: int) -> int | None:
    """Set torch's threads in this process; the number before, or None where torch is not loaded.

    Both pools call it, for sums in another order differ in their last bits.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    before: int = torch.get_num_threads()
    torch.set_num_threads(threads)
    return before

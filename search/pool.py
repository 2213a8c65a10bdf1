"""Scoring pools: where candidates are scored. This file holds the contract and the serial pool."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from supernet.architecture import Architecture

Arrays = Mapping[str, np.ndarray]
"""Weights and images by name: what a scorer needs, read-only and shared by all workers."""

Scorer = Callable[[Architecture], float]
"""From an architecture to its top-1 in percent (0-100) on the search split."""

ScorerFactory = Callable[[Arrays], Scorer]
"""Makes a scorer out of the arrays; picklable, for it runs in every worker."""

Item = tuple[int, Architecture]
"""An architecture to score, with its index."""

WAITS_FOR_NOTHING = "an item waits for results that were all taken"
"""What is wrong with `items` that give None while nothing is being scored."""

MAX_REASON = 300
"""Characters kept of a failure's reason."""


@dataclass(frozen=True)
class Failure:
    """A candidate that could not be scored, with the reason in one line."""

    reason: str


class ScoringPool(ABC):
    """Scores candidates; a context manager that holds its workers from enter to exit.

    The score of an architecture is the same in every pool with the same `factory`, `arrays` and
    number of threads.
    """

    @abstractmethod
    def score(self, items: Iterable[Item | None]) -> Iterator[tuple[int, float | Failure]]:
        """Yield (index, top-1 percent or failure) once for each item, as they are ready.

        `items` is read no further than workers are free. It gives None where there is no item
        until more results are taken, and is then asked again after the next one.

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
    """Scores in this process, one candidate after the other, on `threads` torch threads."""

    def __init__(self, factory: ScorerFactory, arrays: Arrays, threads: int = 1) -> None:
        self._factory = factory
        self._arrays = arrays
        self._threads = threads

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

    def score(self, items: Iterable[Item | None]) -> Iterator[tuple[int, float | Failure]]:
        """Score in the order given."""
        for item in items:
            assert item is not None, WAITS_FOR_NOTHING
            index, architecture = item
            yield index, score_one(self._scorer, architecture)


def score_one(scorer: Scorer, architecture: Architecture) -> float | Failure:
    """The score, or a failure where the scorer raises or gives no finite number."""
    try:
        top1 = float(scorer(architecture))
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return Failure(text[:MAX_REASON])
    return top1 if math.isfinite(top1) else Failure(f"top1 is {top1}")


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

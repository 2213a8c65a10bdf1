"""What a scorer is asked, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from supernet.architecture import Architecture

Arrays = Mapping[str, np.ndarray]
"""Weights and images by name: what a scorer needs, read-only and shared by all workers."""


class Score(NamedTuple):
    """Top-1 in percent (0-100) on the search split, and how it was found.

    `loss`: cross-entropy there in nats, with its standard error over images, where candidates rank
    by it. `correct`: a bit for each search image, where later candidates race against this one.
    `images`: the number of images after which the scorer stopped, for it had lost; `top1` is a
    guess then.
    """

    top1: float
    correct: bytes | None = None
    images: int | None = None
    loss: float | None = None
    loss_error: float | None = None


class Race(NamedTuple):
    """An architecture to score against a rival, whose `correct` is known; None: on all images."""

    architecture: Architecture
    rival: bytes | None


Scorer = Callable[[Any], float | Score]
"""From an architecture, or a race where the search is one of races, to top-1 in percent or a score.

It may have a method `score_many(tasks)` besides, which yields (number in the list, score) of each,
in any order: candidates that are scored together may share work, and must score as alone.
"""

ScorerFactory = Callable[[Arrays], Scorer]
"""Makes a scorer out of the arrays; picklable, for it runs in every worker."""

Item = tuple[int, Any]
"""A task, with the index of its candidate."""

MAX_REASON = 300
"""Characters kept of a failure's reason."""


@dataclass(frozen=True)
class Failure:
    """A candidate that could not be scored, with the reason in one line."""

    reason: str


class OutOfMemory(Failure):
    """A candidate for which there was no memory just now; there may be when it is tried again."""


Result = Score | Failure


def score_batch(scorer: Scorer, tasks: Sequence[Any]) -> Iterator[tuple[int, Result]]:
    """Yield (number in the list, result) of each task, together where the scorer can.

    Where scoring together raises, those without a result are scored alone: it is the failure of
    one of them.
    """
    missing = dict(enumerate(tasks))
    if len(tasks) > 1 and hasattr(scorer, "score_many"):
        try:
            for place, score in scorer.score_many(tasks):
                del missing[place]
                yield place, _checked(score)
        except Exception:
            pass
    for place, task in missing.items():
        yield place, score_one(scorer, task)


def score_one(scorer: Scorer, task: Any) -> Result:
    """The score, or a failure where the scorer raises or gives no finite number."""
    try:
        return _checked(scorer(task))
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
        return OutOfMemory(text) if _is_out_of_memory(error) else Failure(text)


def _is_out_of_memory(error: Exception) -> bool:
    """Python's error, CUDA's, or that of torch's allocator on a CPU, which has no class."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
    )


def _checked(score: float | Score) -> Result:
    found = score if isinstance(score, Score) else Score(float(score))
    if not math.isfinite(found.top1):
        return Failure(f"top1 is {found.top1}")
    if found.loss is not None and not math.isfinite(found.loss):
        return Failure(f"loss is {found.loss}")
    return found

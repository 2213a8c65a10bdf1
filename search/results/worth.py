"""What a surrogate learned: what each choice is worth beyond the operations that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.limits.measure import CostMeter, Measure
from search.results.export import open_search
from search.searchers.canonical import Canonical
from search.searchers.gaussian_process import GaussianProcess
from supernet.architecture import Architecture, Choice
from supernet.candidate import Candidate
from supernet.space import SearchSpace

MOST_CHANGED = 128
"""Scored architectures that every choice is put into, evenly spaced over the history."""

Guesses = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""From N architectures to their guessed fitness, (N,), more is better."""


class Worth(NamedTuple):
    """`worth` of a choice in the fitness's unit, and how many scored architectures have it."""

    position: str
    choice: Choice
    worth: float
    scored: int


def worths_of(
    space: SearchSpace, candidates: Sequence[Candidate], measure: Measure, guesses: Guesses
) -> list[Worth]:
    """The worth of every choice of every position that has several.

    Every choice c of a position is put into each scored architecture. With f(c) the mean guess of
    those and o(c) the mean of their log OPs, worth(c) = f(c) - mean f - slope (o(c) - mean o),
    means over the position's choices; slope: linear regression of the fitness scored on log OPs.
    Empty where fewer than two candidates are scored.
    """
    scored = [one for one in candidates if one.fitness is not None and one.images is None]
    if len(scored) < 2:
        return []
    slope = _slope(scored, measure)
    places = np.linspace(0, len(scored) - 1, min(len(scored), MOST_CHANGED)).round().astype(int)
    bases = [scored[place].architecture for place in places]
    found = []
    for position in space.positions:
        if len(position.choices) < 2:
            continue
        means = []
        for choice in position.choices:
            changed = [_with(base, position.name, choice) for base in bases]
            ops = np.log([measure(one)["ops"] for one in changed])
            means.append(guesses(changed).mean() - slope * ops.mean())
        for choice, mean in zip(position.choices, means, strict=True):
            count = sum(one.architecture[position.name] == choice for one in scored)
            found.append(Worth(position.name, choice, float(mean - np.mean(means)), count))
    return found


def surrogate_of(space: SearchSpace, candidates: Sequence[Candidate]) -> Guesses:
    """What searcher `surrogate` guesses once it has learned from all scored `candidates`."""
    same, process = Canonical(space), GaussianProcess(space)
    scored = [(same(c.architecture), c.fitness) for c in candidates if c.fitness is not None]
    process.fit([one for one, _ in scored], [fitness for _, fitness in scored])
    return lambda architectures: process.guess(list(map(same, architectures))).mean


def worths_in(run: Path) -> list[dict[str, Any]]:
    """`worths_of` the surrogate of a search's history, a row a choice, as JSON-able data.

    Raises:
        UserError: not a search run, a damaged history, or no candidate in it is scored yet.
    """
    _, space, candidates = open_search(run)
    guesses = surrogate_of(space, candidates)
    return [one._asdict() for one in worths_of(space, candidates, CostMeter(space), guesses)]


def _slope(scored: Sequence[Candidate], measure: Measure) -> float:
    """Fitness for each unit of log OPs; 0 where all have as many."""
    ops = np.log([measure(one.architecture)["ops"] for one in scored])
    fitness = np.array([one.fitness for one in scored])
    off = ops - ops.mean()
    squares = float(off @ off)
    return float(off @ (fitness - fitness.mean())) / squares if squares > 0 else 0.0


def _with(architecture: Architecture, position: str, choice: Choice) -> Architecture:
    pairs = ((name, choice if name == position else own) for name, own in architecture.choices)
    return Architecture(tuple(pairs))

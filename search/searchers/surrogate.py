"""A linear guess of a candidate's fitness from its choices, good enough to order children."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from supernet.architecture import Architecture
from supernet.candidate import Candidate
from supernet.space import SearchSpace

RIDGE = 1.0
"""Added to the diagonal: as if every choice had been seen once with the mean fitness."""


class Surrogate:
    """Ridge regression of the fitness on which choice stands at each position.

    w = (X^T X + RIDGE I)^-1 X^T (y - mean y), X with one column a choice of each position, 1 where
    it was chosen. X^T X and X^T y are kept as sums: learning a candidate adds to them, and what is
    guessed depends on the candidates learnt and on nothing else.
    """

    def __init__(self, space: SearchSpace) -> None:
        columns: dict[tuple[str, object], int] = {}
        for position in space.positions:
            for choice in position.choices:
                columns[position.name, choice] = len(columns)
        self._columns = columns
        size = len(columns)
        self._count, self._sum = 0, 0.0
        self._squares = np.zeros((size, size))
        self._seen = np.zeros(size)
        self._products = np.zeros(size)
        self._weights: NDArray[np.float64] | None = None

    @property
    def num_learnt(self) -> int:
        """How many scored candidates it knows."""
        return self._count

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Take in scored candidates; failed ones say nothing."""
        for candidate in candidates:
            if (fitness := candidate.fitness) is None:
                continue
            places = self._places(candidate.architecture)
            self._squares[np.ix_(places, places)] += 1
            self._seen[places] += 1
            self._products[places] += fitness
            self._count += 1
            self._sum += fitness
            self._weights = None

    def guess(self, architectures: Sequence[Architecture]) -> Sequence[float]:
        """The fitness of each (percent, or nats below 0), as far as its choices tell it."""
        if not self._count:
            return [0.0] * len(architectures)
        mean = self._sum / self._count
        if (weights := self._weights) is None:
            left = self._squares + RIDGE * np.eye(len(self._seen))
            right = self._products - mean * self._seen
            weights = self._weights = np.asarray(np.linalg.solve(left, right), np.float64)
        return [mean + float(weights[self._places(one)].sum()) for one in architectures]

    def _places(self, architecture: Architecture) -> list[int]:
        return [self._columns[name, choice] for name, choice in architecture.choices]

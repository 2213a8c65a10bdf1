"""A guess of a candidate's fitness from its choices, with how sure it is: a Gaussian process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from supernet.architecture import Architecture
from supernet.space import Position, SearchSpace

MOST_LEARNT = 512
"""Candidates that it is fitted to, the best ones: the work grows with the cube of their number."""


LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Lengths l that are tried, as shares of the distance of two random architectures."""

NOISES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Variances of the noise that are tried, as shares of the fitness's."""


class Guess(NamedTuple):
    """Mean and standard deviation of the fitness of each architecture, (N,), without noise."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


class GaussianProcess:
    """Gaussian process regression of the fitness on the choices.

    Of the fitness less its mean and over its deviation: k(x, y) = exp(-|x - y|^2 / (2 l^2)) +
    noise [x = y], with that pair of l and noise of a grid that is likeliest (scikit-learn): an
    optimiser's last digits would differ from machine to machine. x holds for each position the
    logarithm of the choice, scaled to mean 0 and deviation 1 over its choices, where all are
    numbers above 0; else 1 in the chosen one's place of as many as there are choices. Results
    depend on the data alone, not on threads.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._columns = [_columns(p) for p in space.positions if len(p.choices) > 1]
        self._names = [p.name for p in space.positions if len(p.choices) > 1]

    def fit(self, architectures: Sequence[Architecture], fitness: Sequence[float]) -> None:
        """Learn from one or more architectures and their fitness, more is better."""
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, WhiteKernel
        from threadpoolctl import threadpool_limits

        order = sorted(range(len(fitness)), key=lambda i: -fitness[i])[:MOST_LEARNT]
        x = self.features([architectures[i] for i in order])
        y = np.array([fitness[i] for i in order])
        self._mean, self._scale = float(y.mean()), float(y.std()) or 1.0
        # Two random architectures are about so far apart.
        far = math.sqrt(2 * max(len(self._columns), 1))
        likeliest = -math.inf
        with threadpool_limits(1):
            for share, noise in product(LENGTHS, NOISES):
                kernel = RBF(share * far) + WhiteKernel(noise)
                model = GaussianProcessRegressor(kernel, optimizer=None)
                model.fit(x, (y - self._mean) / self._scale)
                if model.log_marginal_likelihood_value_ > likeliest:
                    likeliest = model.log_marginal_likelihood_value_
                    self._model, self._noise = model, noise

    def guess(self, architectures: Sequence[Architecture]) -> Guess:
        """What it knows of each architecture."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            mean, deviation = self._model.predict(self.features(architectures), return_std=True)
        certain = np.sqrt(np.maximum(deviation**2 - self._noise, 0.0))
        return Guess(self._mean + self._scale * mean, self._scale * certain)

    def features(self, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
        """One row an architecture."""
        rows = []
        for architecture in architectures:
            chosen = dict(architecture.choices)
            parts = zip(self._names, self._columns, strict=True)
            rows.append(np.concatenate([columns[chosen[name]] for name, columns in parts]))
        return np.array(rows)


def _columns(position: Position) -> dict[object, NDArray[np.float64]]:
    """What stands in a row for each choice of a position."""
    choices = position.choices
    if all(isinstance(choice, int | float) and choice > 0 for choice in choices):
        logs = np.log([float(choice) for choice in choices])
        scaled = (logs - logs.mean()) / logs.std()
        return {choice: scaled[[i]] for i, choice in enumerate(choices)}
    return dict(zip(choices, np.eye(len(choices)), strict=True))

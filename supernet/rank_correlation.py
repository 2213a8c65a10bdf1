"""How alike two lists rank the same things: Kendall's tau-b and Spearman's rho, both with ties."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray


def kendall_tau(x: ArrayLike, y: ArrayLike) -> float | None:
    """Tau-b: (pairs in equal order - pairs in opposite order) / sqrt(untied in x * untied in y).

    Of two lists of equal length; None where all of one are equal, which ranks nothing.
    """
    signs_x, signs_y = _signs(x), _signs(y)
    untied = np.count_nonzero(signs_x) * np.count_nonzero(signs_y)
    return float((signs_x * signs_y).sum() / sqrt(untied)) if untied else None


def spearman(x: ArrayLike, y: ArrayLike) -> float | None:
    """Pearson's correlation of the ranks; tied values share their mean rank.

    Of two lists of equal length; None where all of one are equal.
    """
    ranks_x, ranks_y = _ranks(x), _ranks(y)
    squares = int(ranks_x @ ranks_x) * int(ranks_y @ ranks_y)
    return float(ranks_x @ ranks_y) / sqrt(squares) if squares else None


def _signs(x: ArrayLike) -> NDArray[np.int8]:
    """(n, n): the sign of x[i] - x[j]."""
    return np.sign(np.subtract.outer(x, x)).astype(np.int8)


def _ranks(x: ArrayLike) -> NDArray[np.int64]:
    """Mean ranks, centred and doubled: of each value how many are below, less how many above."""
    _, places, counts = np.unique(x, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    centred: NDArray[np.int64] = (2 * below + counts - counts.sum())[places]
    return centred

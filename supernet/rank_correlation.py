"""How alike two lists rank the same things: Kendall's tau-b and Spearman's rho, both with ties.

With `groups`, a number for each thing, only things of one group are ranked against one another.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray


def kendall_tau(x: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> float | None:
    """Tau-b: (pairs in equal order - pairs in opposite order) / sqrt(untied in x * untied in y).

    Of two lists of equal length; None where all of one are equal, which ranks nothing. With
    `groups`, over the pairs of one group.
    """
    signs_x, signs_y = _signs(x), _signs(y)
    if groups is not None:
        signs_x = signs_x * np.equal.outer(groups, groups)
        signs_y = signs_y * np.equal.outer(groups, groups)
    untied = np.count_nonzero(signs_x) * np.count_nonzero(signs_y)
    return float((signs_x * signs_y).sum() / sqrt(untied)) if untied else None


def spearman(x: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> float | None:
    """Pearson's correlation of the ranks; tied values share their mean rank.

    Of two lists of equal length; None where all of one are equal. With `groups`, of the ranks
    within each group less their mean.
    """
    return _correlation(_ranks(x, groups), _ranks(y, groups))


def partial_spearman(
    x: ArrayLike, y: ArrayLike, held: ArrayLike, groups: ArrayLike | None = None
) -> float | None:
    """Spearman's rho of `x` and `y` beyond what both owe to `held`.

    (r_xy - r_xh r_yh) / sqrt((1 - r_xh^2) (1 - r_yh^2)). None where `x` or `y` ranks nothing, or
    ranks as `held` does or against it; where `held` ranks nothing, r_xy.
    """
    ranks_x, ranks_y, ranks_held = (_ranks(one, groups) for one in (x, y, held))
    of_x = _correlation(ranks_x, ranks_held) or 0.0
    of_y = _correlation(ranks_y, ranks_held) or 0.0
    both = _correlation(ranks_x, ranks_y)
    left = (1 - of_x**2) * (1 - of_y**2)
    return None if both is None or left <= 0 else (both - of_x * of_y) / sqrt(left)


def _correlation(ranks_x: NDArray[np.int64], ranks_y: NDArray[np.int64]) -> float | None:
    """Pearson's, of centred ranks."""
    squares = int(ranks_x @ ranks_x) * int(ranks_y @ ranks_y)
    return float(ranks_x @ ranks_y) / sqrt(squares) if squares else None


def _signs(x: ArrayLike) -> NDArray[np.int8]:
    """(n, n): the sign of x[i] - x[j]."""
    return np.sign(np.subtract.outer(x, x)).astype(np.int8)


def _ranks(x: ArrayLike, groups: ArrayLike | None) -> NDArray[np.int64]:
    """Mean ranks, centred and doubled: of each value how many are below, less how many above.

    With `groups`, in its own group.
    """
    _, codes = np.unique(x, return_inverse=True)
    if groups is None:
        return _doubled_ranks(codes)
    ranks = np.empty(len(codes), dtype=np.int64)
    for group in np.unique(groups):
        members = np.equal(groups, group)
        ranks[members] = _doubled_ranks(codes[members])
    return ranks


def _doubled_ranks(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """`_ranks` of one group, whose values are whole numbers from 0 on."""
    counts = np.bincount(codes)
    below = np.cumsum(counts) - counts
    centred: NDArray[np.int64] = (2 * below + counts - len(codes))[codes]
    return centred

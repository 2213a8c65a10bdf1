"""Rank correlations against values by hand and against scipy, and what must always hold."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from supernet.rank_correlation import kendall_tau, spearman

lists = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(-5, 5), min_size=n, max_size=n) for _ in range(2)))
)


def arrays(*lists: list) -> list[np.ndarray]:
    return [np.array(values, dtype=float) for values in lists]


def test_kendall_by_hand() -> None:
    # Of 6 pairs 5 are in equal order and (3, 2) against (1, 3) is not: 4 / 6.
    assert kendall_tau(*arrays([1, 2, 3, 4], [1, 3, 2, 4])) == pytest.approx((5 - 1) / 6)
    # One tie in y: 5 pairs in equal order, 6 untied in x, 5 in y, each counted twice.
    assert kendall_tau(*arrays([1, 2, 3, 4], [1, 2, 2, 4])) == pytest.approx(5 / sqrt(6 * 5))
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == 1
    assert kendall_tau([1, 2, 3], [3, 1, 2]) == pytest.approx(-1 / 3)  # one pair of three


def test_spearman_by_hand() -> None:
    # 1 - 6 (0 + 1 + 1 + 0) / (4 (16 - 1))
    assert spearman(*arrays([1, 2, 3, 4], [10, 30, 20, 40])) == pytest.approx(1 - 12 / 60)
    # Ranks 1, 2, 3 against 2, 1, 3: 1 - 6 * (1 + 1) / (3 * 8) = 0.5.
    assert spearman([1, 2, 3], [5, 4, 9]) == pytest.approx(0.5)
    assert spearman([1, 1, 3], [1, 1, 9]) == pytest.approx(1)


def test_what_is_constant_ranks_nothing() -> None:
    constant, rising = arrays([2, 2, 2], [1, 2, 3])
    assert kendall_tau(constant, rising) is kendall_tau(rising, constant) is None
    assert spearman(constant, rising) is spearman(rising, constant) is None


@given(lists)
def test_equal_to_scipy(pair: tuple[list[int], list[int]]) -> None:
    x, y = arrays(*pair)
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert kendall_tau(x, y) == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)


@given(lists)
def test_bounds_symmetry_and_monotone_maps(pair: tuple[list[int], list[int]]) -> None:
    x, y = arrays(*pair)
    for statistic in (kendall_tau, spearman):
        value = statistic(x, y)
        if value is None:
            assert min(len(set(x)), len(set(y))) == 1
            continue
        assert -1 <= value <= 1
        assert value == statistic(y, x)
        assert statistic(x**3 + x, np.exp(y)) == value
        assert statistic(x, -y) == -value
    assert kendall_tau(x, x) == (1 if len(set(x)) > 1 else None)

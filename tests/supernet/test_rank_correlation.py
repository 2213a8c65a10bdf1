"""Rank correlations against values by hand and against scipy, and what must always hold."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, rankdata, spearmanr

from supernet.rank_correlation import kendall_tau, partial_spearman, spearman

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


def test_groups_by_hand() -> None:
    # Whole: dearer is better. Within: 1 of 3 pairs and 3 of 3 pairs in equal order.
    groups = [0, 0, 0, 1, 1, 1]
    x, y = arrays([1, 2, 3, 11, 12, 13], [3, 1, 2, 21, 22, 23])
    assert kendall_tau(x, y, groups) == pytest.approx((1 - 2 + 3) / 6)
    # Ranks less their mean: (-1, 0, 1) against (1, -1, 0) gives -1, and 2 in the other group.
    assert spearman(x, y, groups) == pytest.approx((-1 + 2) / 4)
    assert kendall_tau(x, y, groups) < kendall_tau(x, y)
    assert kendall_tau(x, y, range(6)) is spearman(x, y, range(6)) is None, "each is alone"


@given(lists, st.randoms(use_true_random=False))
def test_groups_pool_what_each_has(pair: tuple[list[int], list[int]], random: Any) -> None:
    """Of one group nothing changes; of two, in any order, untied pairs count alike."""
    x, y = arrays(*pair)
    for statistic in (kendall_tau, spearman):
        assert statistic(x, y, np.zeros(len(x))) == statistic(x, y)
        # A copy of the same things far away, in a group of its own.
        twice = np.append(x, x + 100), np.append(y, y - 100), np.repeat([7, 3], len(x))
        order = random.sample(range(2 * len(x)), 2 * len(x))
        found, alone = statistic(*(one[order] for one in twice)), statistic(x, y)
        assert found == (alone if alone is None else pytest.approx(alone, abs=1e-12))


def test_partial_against_the_residuals_of_ranks() -> None:
    rng = np.random.default_rng(0)
    held = rng.normal(size=40)
    x, y = held + rng.normal(size=40), held + rng.normal(size=40)
    ranks = [rankdata(one) for one in (x, y, held)]
    fits = [np.polyval(np.polyfit(ranks[2], one, 1), ranks[2]) for one in ranks[:2]]
    residuals = [one - fit for one, fit in zip(ranks[:2], fits, strict=True)]
    assert partial_spearman(x, y, held) == pytest.approx(np.corrcoef(*residuals)[0, 1])
    assert spearman(x, y) > partial_spearman(x, y, held) + 0.2, "most of it was owed to `held`"


def test_partial_of_what_has_nothing_of_its_own() -> None:
    x, y, held = arrays([1, 2, 3, 4], [2, 1, 4, 3], [10, 20, 30, 40])
    assert partial_spearman(x, y, held) is partial_spearman(y, -x, held) is None
    assert partial_spearman(x, np.ones(4), y) is None
    assert partial_spearman(x, y, np.ones(4)) == spearman(x, y)

"""Rank statistics against values by hand and against scipy, and what must always hold."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.audit.ranking import (
    Estimate,
    Resample,
    agreement,
    draw_resamples,
    seed_noise,
    tau_difference,
    top_k_regret,
)

lists = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(-5, 5), min_size=n, max_size=n) for _ in range(2)))
)


def arrays(*lists: list) -> list[np.ndarray]:
    return [np.array(values, dtype=float) for values in lists]


def test_regret_by_hand() -> None:
    truth, scores = arrays([90, 88, 85, 80], [1, 2, 4, 3])
    regrets = [top_k_regret(truth, scores, k) for k in (1, 2, 3, 4, 9)]
    assert regrets == [90 - 85, 90 - 85, 90 - 88, 0, 0]
    # Equal scores are no finding: the worst of the tied counts as the first.
    assert top_k_regret(truth, np.zeros(4), 1) == 90 - 80


@given(lists)
def test_regret_never_grows_with_k(pair: tuple[list[int], list[int]]) -> None:
    truth, scores = arrays(*pair)
    regrets = [top_k_regret(truth, scores, k) for k in range(1, len(truth) + 1)]
    assert regrets == sorted(regrets, reverse=True) and regrets[-1] == 0
    assert regrets == [top_k_regret(truth, 2 * scores + 1, k) for k in range(1, len(truth) + 1)]
    if len(set(truth)) > 1:
        assert top_k_regret(truth, truth, 1) == 0


def test_resamples_are_of_the_right_size_and_reproducible() -> None:
    def drawn() -> list[Resample]:
        return draw_resamples(5, 3, 50, np.random.default_rng(1))

    assert {(len(one.networks), len(one.seeds)) for one in drawn()} == {(5, 3)}
    assert set(np.concatenate([one.networks for one in drawn()])) == set(range(5))
    assert set(np.concatenate([one.seeds for one in drawn()])) == set(range(3))
    assert str(drawn()) == str(drawn())


def test_scores_that_are_all_equal_agree_with_nothing() -> None:
    truth = np.array([[60.0, 61.0], [62.0, 63.0], [64.0, 65.0]])
    resamples = draw_resamples(3, 2, 10, np.random.default_rng(0))
    found = agreement(truth, np.ones(3), (1,), resamples)
    assert found.kendall_tau == found.spearman == Estimate(0.0, 0.0, 0.0)


def test_agreement_takes_the_mean_over_seeds() -> None:
    truth = np.array([[1.0, 3.0], [4.0, 2.0], [5.0, 5.0]])  # means 2, 3, 5
    whole = Resample(np.arange(3), np.arange(2))
    other = Resample(np.array([0, 0, 1]), np.array([1, 1]))  # means 3, 3, 2
    found = agreement(truth, np.array([10.0, 30.0, 20.0]), (1, 2), [whole, other])
    # Two of three pairs in equal order; in the other sample both untied pairs are not.
    assert found.kendall_tau.value == pytest.approx((2 - 1) / 3)
    assert (found.kendall_tau.low, found.kendall_tau.high) == pytest.approx(
        (-1 + 0.025 * 4 / 3, 1 / 3 - 0.025 * 4 / 3)
    )
    assert {k: one.value for k, one in found.regret.items()} == {1: 5 - 3, 2: 0}
    assert list(found.as_dict()["regret"]) == ["1", "2"]


def test_a_difference_is_taken_in_pairs() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.normal(size=(12, 3)), rng.normal(size=12)
    resamples = draw_resamples(12, 3, 100, rng)
    assert tau_difference(truth, scores, 5 * scores, resamples) == Estimate(0, 0, 0)
    # Against the opposite ranking every sample's difference is twice its tau.
    found = tau_difference(truth, scores, -scores, resamples)
    tau = agreement(truth, scores, (1,), resamples).kendall_tau
    assert (found.value, found.low, found.high) == pytest.approx(
        (2 * tau.value, 2 * tau.low, 2 * tau.high)
    )


def test_noise_by_hand() -> None:
    # Variances over the three seeds: ((-1)^2 + 0 + 1) / 2 = 1, 4 and 0.
    truth = np.array([[1.0, 2.0, 3.0], [8.0, 6.0, 4.0], [5.0, 5.0, 5.0]])
    found = seed_noise(truth, draw_resamples(3, 3, 20, np.random.default_rng(0)))
    assert found is not None
    assert found.pooled_std == pytest.approx(sqrt((1 + 4 + 0) / 3))
    # Orders by seed: 1 < 5 < 8, 2 < 5 < 6 and 3 < 4 < 5, where the last two changed places.
    assert found.between_seeds.value == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    # The others' means: (2.5, 5, 5), (2, 6, 5), (1.5, 7, 5).
    taus = [2 / sqrt(3 * 2), 1, 1 / 3]
    assert found.seed_against_rest.value == pytest.approx(sum(taus) / 3)
    assert seed_noise(truth[:, :1], []) is None

"""Rank statistics against values by hand and against scipy, and what must always hold."""

import json
from dataclasses import asdict
from math import asin, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.audit.noise import halves, seed_noise
from evaluate.audit.ranking import agreement, regret_within, tau_difference, top_k_regret
from evaluate.audit.resampling import Estimate, Resample, draw_resamples
from training.seeds import derive_seed

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"

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


def test_regret_is_the_mean_over_bands() -> None:
    truth, scores = arrays([90, 88, 70, 75], [1, 2, 4, 3])
    assert regret_within(truth, scores, np.array([0, 0, 1, 1]), 1) == (2 + 5) / 2
    assert regret_within(truth, scores, np.zeros(4), 1) == 90 - 70


def drawn(bands: list[int], seeds: int = 1, supernets: int = 1, count: int = 50) -> list[Resample]:
    return draw_resamples(np.array(bands), seeds, supernets, count, np.random.default_rng(0))


def test_resamples_are_of_the_right_size_and_reproducible() -> None:
    def sizes(found: list[Resample]) -> set[tuple[int, ...]]:
        return {tuple(map(len, one)) for one in found}

    found = drawn([0] * 5, seeds=3, supernets=2)
    assert sizes(found) == {(5, 3, 2)}
    for what, number in (("networks", 5), ("seeds", 3), ("supernets", 2)):
        taken = np.concatenate([getattr(one, what) for one in found])
        assert set(taken) == set(range(number))
    assert str(found) == str(drawn([0] * 5, seeds=3, supernets=2))


def test_a_network_is_drawn_for_one_of_its_band() -> None:
    bands = [0, 1, 1, 0, 1]
    for sample in drawn(bands):
        assert sorted(np.array(bands)[sample.networks]) == sorted(bands)
        assert set(sample.of_band(np.array(bands), 1).networks) <= {1, 2, 4}


def test_samples_of_one_band_and_one_supernet_are_those_of_older_audits() -> None:
    rng = np.random.default_rng(0)
    for sample in drawn([0] * 5, seeds=3):
        assert sample.networks.tolist() == rng.integers(5, size=5).tolist()
        assert sample.seeds.tolist() == rng.integers(3, size=3).tolist()
        assert sample.supernets.tolist() == [0]


def test_scores_that_are_all_equal_agree_with_nothing() -> None:
    truth = np.array([[60.0, 61.0], [62.0, 63.0], [64.0, 65.0]])
    found = agreement(truth, np.ones((1, 3)), np.arange(3), np.zeros(3), (1,), drawn([0] * 3, 2))
    assert found.kendall_tau == found.spearman == Estimate(0.0, 0.0, 0.0)
    assert found.beyond_ops is None


def test_agreement_takes_the_mean_over_seeds() -> None:
    truth = np.array([[1.0, 3.0], [4.0, 2.0], [5.0, 5.0]])  # means 2, 3, 5
    whole = Resample(np.arange(3), np.arange(2), np.zeros(1, int))
    other = Resample(np.array([0, 0, 1]), np.array([1, 1]), np.zeros(1, int))  # means 3, 3, 2
    scores, ops, bands = np.array([[10.0, 30.0, 20.0]]), np.array([1, 2, 3]), np.zeros(3)
    found = agreement(truth, scores, ops, bands, (1, 2), [whole, other])
    # Two of three pairs in equal order; in the other sample both untied pairs are not.
    assert found.kendall_tau.value == pytest.approx((2 - 1) / 3)
    assert (found.kendall_tau.low, found.kendall_tau.high) == pytest.approx(
        (-1 + 0.025 * 4 / 3, 1 / 3 - 0.025 * 4 / 3)
    )
    assert {k: one.value for k, one in found.regret.items()} == {1: 5 - 3, 2: 0}
    assert list(found.as_dict()["regret"]) == ["1", "2"]
    assert (found.tau_by_supernet, found.tau_by_band) == ([found.kendall_tau.value], [])


def test_what_ranks_by_cost_alone_ranks_nothing_within_bands() -> None:
    """Accuracy that rises with OPs and else is chance: over all tau is high, within bands none."""
    rng = np.random.default_rng(0)
    bands = np.repeat(range(20), 10)
    ops = bands * 100 + rng.integers(4, size=200)
    truth = 50 + bands[:, None] + rng.normal(size=(200, 2)) / 10
    scores = (bands + rng.normal(size=200) / 10)[None]
    samples = draw_resamples(bands, 2, 1, 40, rng)
    everywhere = agreement(truth, scores, ops, np.zeros(200), (1,), samples[:1])
    within = agreement(truth, scores, ops, bands, (1,), samples)
    assert everywhere.kendall_tau.value > 0.9
    assert abs(within.kendall_tau.value) < 0.1
    assert within.kendall_tau.low < 0 < within.kendall_tau.high
    assert within.beyond_ops is not None and abs(within.beyond_ops.value) < 0.1
    assert len(within.tau_by_band) == 20


def test_each_band_has_its_own_tau() -> None:
    truth, scores = np.array([[1.0], [2], [3], [6], [5], [4]]), np.arange(6.0)[None]
    bands = np.repeat([0, 1], 3)
    found = agreement(truth, scores, np.ones(6), bands, (1,), drawn([0, 0, 0, 1, 1, 1]))
    assert [one.value for one in found.tau_by_band] == [1, -1]
    assert found.kendall_tau.value == 0, "three pairs in equal and three in opposite order"
    assert found.regret[1].value == (0 + 2) / 2
    assert found.beyond_ops is not None and found.beyond_ops.value == found.spearman.value


def test_supernets_count_alike_and_their_spread_is_in_the_interval() -> None:
    truth, scores = np.arange(8.0)[:, None], np.arange(8.0)
    alike = agreement(
        truth, np.stack([scores, scores]), np.ones(8), np.zeros(8), (1,), drawn([0] * 8, 1, 2)
    )
    assert alike.kendall_tau == Estimate(1, 1, 1)
    apart = agreement(
        truth, np.stack([scores, -scores]), np.ones(8), np.zeros(8), (1,), drawn([0] * 8, 1, 2)
    )
    assert apart.tau_by_supernet == [1, -1]
    assert apart.kendall_tau == Estimate(0, -1, 1)


def test_intervals_hold_the_truth() -> None:
    """Of networks and scores with a known tau between them, 4 of 5 intervals at the very least.

    Two normal variables of correlation r have tau 2/pi asin(r).
    """
    rng, bands, r = np.random.default_rng(3), np.repeat([0, 1, 2], 10), 0.8
    expected, held = 2 / pi * asin(r), 0
    for _ in range(40):
        worth = rng.normal(size=30)
        scores = r * worth + sqrt(1 - r * r) * rng.normal(size=30)
        # What cost does: whole bands are shifted, which must not count.
        samples = draw_resamples(bands, 1, 1, 100, rng)
        shifted = [(10 * bands + worth)[:, None], (10 * bands + scores)[None]]
        tau = agreement(shifted[0], shifted[1], np.ones(30), bands, (1,), samples).kendall_tau
        held += tau.low <= expected <= tau.high
    assert held >= 32


def test_a_difference_is_taken_in_pairs() -> None:
    rng = np.random.default_rng(0)
    truth, scores, bands = rng.normal(size=(12, 3)), rng.normal(size=(1, 12)), np.zeros(12)
    resamples = draw_resamples(bands, 3, 1, 100, rng)
    assert tau_difference(truth, scores, 5 * scores, bands, resamples) == Estimate(0, 0, 0)
    # Against the opposite ranking every sample's difference is twice its tau.
    found = tau_difference(truth, scores, -scores, bands, resamples)
    tau = agreement(truth, scores, np.ones(12), bands, (1,), resamples).kendall_tau
    assert (found.value, found.low, found.high) == pytest.approx(
        (2 * tau.value, 2 * tau.low, 2 * tau.high)
    )


def test_noise_by_hand() -> None:
    # Variances over the three seeds: ((-1)^2 + 0 + 1) / 2 = 1, 4 and 0.
    truth = np.array([[1.0, 2.0, 3.0], [8.0, 6.0, 4.0], [5.0, 5.0, 5.0]])
    found = seed_noise(truth, np.zeros(3), drawn([0] * 3, 3))
    assert found is not None
    assert found.pooled_std == pytest.approx(sqrt((1 + 4 + 0) / 3))
    # Orders by seed: 1 < 5 < 8, 2 < 5 < 6 and 3 < 4 < 5, where the last two changed places.
    assert found.between_seeds.value == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert found.between_halves == found.between_seeds, "of three seeds a half is one"
    # The others' means: (2.5, 5, 5), (2, 6, 5), (1.5, 7, 5).
    taus = [2 / sqrt(3 * 2), 1, 1 / 3]
    assert found.seed_against_rest.value == pytest.approx(sum(taus) / 3)
    assert seed_noise(truth[:, :1], np.zeros(3), []) is None


def test_halves_use_every_seed_alike() -> None:
    assert halves(2) == [([0], [1])]
    assert halves(3) == [([0], [1]), ([1], [2]), ([2], [0])]
    assert halves(4) == [([0, 1], [2, 3]), ([1, 2], [3, 0])]
    for number in range(2, 9):
        used = [seed for pair in halves(number) for half in pair for seed in half]
        assert len({used.count(seed) for seed in range(number)}) == 1
        assert all(not set(one) & set(other) for one, other in halves(number))


def test_halves_agree_as_their_noise_lets_them() -> None:
    """Two means with errors of variance v around worths of variance 1 correlate with 1 / (1 + v).

    And two normal variables of correlation r have tau 2/pi asin(r).
    """
    rng = np.random.default_rng(0)
    bands = np.repeat([0, 1], 30)
    truth = (100 * bands + rng.normal(size=60))[:, None] + rng.normal(size=(60, 40))
    for number in (2, 40):
        found = seed_noise(truth[:, :number], bands, draw_resamples(bands, number, 1, 10, rng))
        assert found is not None
        expected = 2 / pi * asin(1 / (1 + 1 / (number / 2)))
        assert found.between_halves.value == pytest.approx(expected, abs=0.1)
        assert found.between_halves.value == pytest.approx(
            np.mean([one.value for one in found.halves_by_band])
        )


def test_published_intervals_are_reproduced() -> None:
    """Of an audit of before there were bands: the samples of its seed, to the last digit."""
    figures = json.loads((RESULTS / "micro_audit_2026-11-23.json").read_text())
    networks, row = figures["networks"], figures["rows"][-1]
    truth, bands = np.array([one["top1"] for one in networks]), np.zeros(len(networks))
    ops = np.array([one["ops"] for one in networks])
    rng = np.random.default_rng(derive_seed(0, "bootstrap"))
    samples = draw_resamples(bands, figures["seeds"], 1, figures["bootstrap"], rng)
    found = agreement(truth, ops[None], ops, bands, (1, 3), samples).as_dict()
    assert {name: found[name] for name in ("kendall_tau", "spearman", "regret")} == {
        name: row[name] for name in ("kendall_tau", "spearman", "regret")
    }
    noise = seed_noise(truth, bands, samples)
    assert noise is not None and asdict(noise).items() >= figures["noise"].items()

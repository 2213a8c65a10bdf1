"""Verdicts with known answers, and what counts as a tie."""

from math import sqrt

import numpy as np
import pytest

from evaluate.finals.judging import Difference, Verdict
from evaluate.over_images import as_text


def score(losses: list[float], right: list[bool]) -> dict:
    return {"losses": losses, "right": as_text(np.array(right))}


def verdict(losses: list[float]) -> Verdict:
    return Verdict(np.array(losses), 0.0)


def test_means_over_seeds_on_the_judging_images_alone() -> None:
    first = score([1.0, 9.0, 3.0, 9.0], [True, True, False, True])
    second = score([2.0, 9.0, 6.0, 9.0], [True, True, True, True])
    found = Verdict.of([first, second], [2, 0])
    assert found.losses.tolist() == [4.5, 1.5]
    assert found.loss == 3.0
    assert found.top1 == 75.0
    assert found.error == pytest.approx(sqrt(4.5) / sqrt(2))


def test_the_difference_is_paired() -> None:
    """Images that are hard for both say nothing of the difference."""
    better = verdict([0.0, 10.0, 20.0, 30.0])
    worse = verdict([0.5, 10.4, 20.6, 30.5])
    gap = Difference.between(worse, better)
    assert gap.loss == pytest.approx(0.5)
    assert gap.error == pytest.approx(np.std([0.5, 0.4, 0.6, 0.5], ddof=1) / 2)
    assert gap.error < worse.error / 10
    assert not gap.is_tie


@pytest.mark.parametrize(("lead", "is_tie"), [(0.19, True), (0.2, False)])
def test_a_tie_is_within_the_interval(lead: float, is_tie: bool) -> None:
    each = np.tile([-1.0, 1.0], 50)
    half = 1.96 * each.std(ddof=1) / 10
    assert 0.19 < half < 0.2
    assert Difference.between(Verdict(lead + each, 0.0), Verdict(0 * each, 0.0)).is_tie is is_tie


def test_equal_networks_tie() -> None:
    one = verdict([0.1, 0.2])
    assert Difference.between(one, one).is_tie
    alone = verdict([0.1])
    assert alone.error == 0.0

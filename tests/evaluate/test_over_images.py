"""How sure a difference over test images is: bits and back, and the interval by resampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.over_images import as_text, from_text, paired_interval


@given(st.lists(st.booleans(), min_size=1, max_size=50))
def test_bits_and_back(bits: list[bool]) -> None:
    right = np.array(bits)
    assert (from_text(as_text(right), len(bits)) == right).all()


@pytest.mark.parametrize("text", ["ä", "A", "gA=="])
def test_text_that_is_no_bits_of_so_many_images(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text, 9)


def test_the_interval_is_mcnemars_of_two_networks() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(1000) < 0.8, rng.random(1000) < 0.75
    mean, half = paired_interval([ours], [theirs])
    b, c = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    assert mean == pytest.approx(100 * (b - c) / 1000)
    assert half == pytest.approx(100 * 1.96 * (b + c - (b - c) ** 2 / 1000) ** 0.5 / 1000)


def test_the_interval_is_that_of_resampled_images() -> None:
    rng = np.random.default_rng(1)
    hard = rng.random(500)
    ours = [rng.random(500) < 0.9 - 0.5 * hard for _ in range(3)]
    theirs = [rng.random(500) < 0.85 - 0.5 * hard for _ in range(2)]
    mean, half = paired_interval(ours, theirs)
    d = np.mean(ours, axis=0) - np.mean(theirs, axis=0)
    resampled = [100 * d[rng.integers(0, 500, 500)].mean() for _ in range(4000)]
    low, high = np.percentile(resampled, [2.5, 97.5])
    assert mean == pytest.approx(100 * d.mean())
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_networks_that_find_the_same_images_do_not_differ() -> None:
    right = np.array([True, False, True])
    assert paired_interval([right], [right, right]) == (0.0, 0.0)

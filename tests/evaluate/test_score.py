"""The calibration error against worked bins."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluate.score import calibration_error


def test_a_worked_calibration_error() -> None:
    # Bins of 1/15: 0.70 and 0.72 lie in (10/15, 11/15], 0.95 in (14/15, 1]. The first two: one of
    # two right against a trust of 0.71 on average; the last: right against 0.95.
    # 2/3 |0.5 - 0.71| + 1/3 |1 - 0.95| = 0.14 + 0.01667
    trust, right = torch.tensor([0.70, 0.72, 0.95]), torch.tensor([True, False, True])
    expected = 2 / 3 * 0.21 + 1 / 3 * 0.05
    assert calibration_error(trust, right) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("right", [True, False])
def test_the_ends(right: bool) -> None:
    sure = torch.ones(4)
    assert calibration_error(sure, torch.full((4,), right)) == pytest.approx(float(not right))
    assert calibration_error(torch.zeros(4), torch.full((4,), right)) == pytest.approx(float(right))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
@settings(deadline=None)
def test_no_order_of_images_matters_and_it_bounds_the_mean_gap(rows: list) -> None:
    trust = torch.tensor([one for one, _ in rows], dtype=torch.float64)
    right = torch.tensor([one for _, one in rows])
    found = calibration_error(trust, right)
    assert found == pytest.approx(calibration_error(trust.flip(0), right.flip(0)))
    # The gap over all images is at most the sum of the bins' gaps; no bin's is above 1.
    assert abs((right.double() - trust).mean().item()) - 1e-9 <= found <= 1 + 1e-9

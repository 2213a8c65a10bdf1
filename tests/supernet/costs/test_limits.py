"""Limits: names and values are checked, and costs keep or break them."""

import pytest

from supernet.costs.limits import broken, check_limits, describe_limits, within
from supernet.files import UserError

COSTS = {"ops": 10, "flops": 4, "bops": 384, "parameters": 7, "binary_parameters": 5, "bits": 69}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_opz": 1}, "here: no limit 'max_opz'; did you mean 'max_ops'"),
        ({"foo_ops": 1}, "no limit 'foo_ops'; did you mean"),
        ({"ops": 1}, "did you mean 'm.._ops'"),
        ({"max_ops": float("nan")}, "max_ops is nan: expected a finite number"),
        ({"max_ops": float("inf")}, "max_ops is inf"),
        ({"max_ops": True}, "max_ops is True"),
        ({"max_ops": "many"}, "max_ops is 'many'"),
        ({"max_ops": 1, "min_ops": 2}, "min_ops 2 is above max_ops 1"),
        ([1], "expected limits by name"),
    ],
)
def test_wrong_limits_are_refused(limits: dict, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        check_limits(limits, "here")


def test_both_ends_belong_to_the_range() -> None:
    limits = check_limits({"max_ops": 10, "min_binary_parameters": 5.0})
    assert within(COSTS, limits) and within(COSTS, {})
    assert not within(COSTS, {"max_ops": 9.5}) and not within(COSTS, {"min_bits": 70})
    assert broken(COSTS, {"max_ops": 9.5, "min_bits": 70, "max_flops": 4}) == [
        "ops 10 is above max_ops 9.5",
        "bits 69 is below min_bits 70",
    ]


def test_limits_in_words() -> None:
    assert describe_limits({"max_ops": 3_200_000}) == "max_ops 3,200,000"
    assert describe_limits({}) == "no limits"

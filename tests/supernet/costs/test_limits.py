"""Limits: names and values are checked, costs keep or break them, and violations are measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import search
from search.constraints import Constraint
from supernet.costs.limits import Limit, broken, describe_limits, limits_from, violation, within
from supernet.costs.table import COSTS
from supernet.files import UserError

COUNTED = {"ops": 10, "flops": 4, "bops": 384, "parameters": 7, "binary_parameters": 5, "bits": 69}
NUMBERS = st.floats(0, 1e12)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_opz": 1}, "here: no limit 'max_opz'; did you mean 'max_ops'"),
        ({"foo_ops": 1}, "no limit 'foo_ops'; did you mean"),
        ({"least_ops": 1}, "no limit 'least_ops'"),
        ({"max_latency": 1}, "no limit 'max_latency'"),
        ({"max_": 1}, "no limit 'max_'"),
        ({"ops": 1}, "did you mean 'm.._ops'"),
        ({"max_ops": float("nan")}, "max_ops is nan: expected a finite number"),
        ({"max_ops": float("inf")}, "max_ops is inf"),
        ({"max_ops": True}, "max_ops is True"),
        ({"max_ops": "many"}, "max_ops is 'many'"),
        ({"max_ops": 1, "min_ops": 2}, "here: min_ops 2 is above max_ops 1"),
        ([1], "expected limits by name"),
    ],
)
def test_wrong_limits_are_refused(limits: dict, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        limits_from(limits, "here")


def test_both_ends_belong_to_the_range() -> None:
    limits = limits_from({"max_ops": 10, "min_binary_parameters": 5.0})
    assert within(limits, COUNTED) and within((), COUNTED)
    assert not within(limits_from({"max_ops": 9.5}), COUNTED)
    assert not within(limits_from({"min_bits": 70}), COUNTED)
    assert broken(limits_from({"max_ops": 9.5, "min_bits": 70, "max_flops": 4}), COUNTED) == [
        "ops 10 is above max_ops 9.5",
        "bits 69 is below min_bits 70",
    ]
    assert broken(limits_from({"max_bits": 70, "min_bits": 70}), COUNTED) == [
        "bits 69 is below min_bits 70"
    ]


def test_limits_in_words() -> None:
    assert describe_limits({"max_ops": 3_200_000}) == "max_ops 3,200,000"
    assert describe_limits({}) == "no limits"


@pytest.mark.parametrize("name", COSTS)
@given(low=NUMBERS, span=NUMBERS, value=NUMBERS)
def test_a_violation_is_the_distance_to_the_range(
    name: str, low: float, span: float, value: float
) -> None:
    (limit,) = limits_from({f"max_{name}": low + span, f"min_{name}": low})
    amount = limit.violation({name: value})
    assert amount >= 0
    assert (amount == 0) == (low <= value <= low + span) == limit.holds({name: value})
    assert (limit.relative_violation({name: value}) == 0) == (amount == 0)
    assert len(broken([limit], {name: value})) == (amount > 0)
    for end in (low, low + span):
        assert limit.violation({name: end}) == 0


def test_hand_computed_violations() -> None:
    limits = limits_from({"min_bits": 50, "max_ops": 100})
    assert [limit.name for limit in limits] == ["ops", "bits"]  # in the order of the table
    assert violation(limits, {"ops": 150, "bits": 40}) == 50 / 100 + 10 / 50
    assert violation(limits, {"ops": 100, "bits": 50}) == 0
    assert within(limits, {"ops": 100, "bits": 50})
    assert not within(limits, {"ops": 101, "bits": 50})
    assert limits[0].violation({"ops": 150}) == 50
    assert limits[0].unit == "operations"
    # Of an end at 0 the violation itself.
    assert violation(limits_from({"max_ops": 0}), {"ops": 3}) == 3


def test_a_measured_cost_is_limited_by_its_name() -> None:
    limits = limits_from({"max_latency_ms": 5})
    assert limits == (Limit("latency_ms", "milliseconds", maximum=5),)


def test_the_former_name_of_a_limit() -> None:
    constraint = search.Constraint("ops", "operations", maximum=9)
    assert isinstance(constraint, Constraint)
    assert (constraint.minimum, constraint.measure(COUNTED)) == (None, 10)
    assert constraint.relative_violation(COUNTED) == 1 / 9
    with pytest.raises(ValueError, match="min_ops 2 is above max_ops 1"):
        search.Constraint("ops", "operations", 1, 2)

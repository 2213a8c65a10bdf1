"""Constraints: violations, limits from config fields, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from search.limits.constraints import (
    UNITS,
    Constraint,
    Limits,
    constraints_from,
    is_feasible,
    violation,
)
from supernet.files import UserError

NUMBERS = st.floats(0, 1e12)


@pytest.mark.parametrize("name", UNITS)
@given(low=NUMBERS, span=NUMBERS, value=NUMBERS)
def test_a_violation_is_the_distance_to_the_range(name, low, span, value):
    (constraint,) = constraints_from({f"max_{name}": low + span, f"min_{name}": low})
    amount = constraint.violation({name: value})
    assert amount >= 0
    assert (amount == 0) == (low <= value <= low + span)
    assert (constraint.relative_violation({name: value}) == 0) == (amount == 0)
    for end in (low, low + span):
        assert constraint.violation({name: end}) == 0


def test_hand_computed_violations():
    constraints = constraints_from({"max_ops": 100, "min_bits": 50})
    assert violation(constraints, {"ops": 150, "bits": 40}) == 50 / 100 + 10 / 50
    assert violation(constraints, {"ops": 100, "bits": 50}) == 0
    assert is_feasible(constraints, {"ops": 100, "bits": 50})
    assert not is_feasible(constraints, {"ops": 101, "bits": 50})
    assert constraints[0].violation({"ops": 150}) == 50
    assert constraints[0].unit == "operations"


def test_a_measured_cost_is_a_constraint_by_its_name():
    constraints = constraints_from({"max_latency_ms": 5}, {"latency_ms": "milliseconds"})
    assert constraints == (Constraint("latency_ms", "milliseconds", maximum=5),)


def test_limits_read_numbers_as_yaml_gives_them():
    limits = Limits(max_ops="3.2e6", min_parameters=10)
    assert limits.limits() == {"max_ops": 3.2e6, "min_parameters": 10}
    assert Limits().limits() == {}


@pytest.mark.parametrize(
    "fields",
    [{"max_ops": "many"}, {"max_op": 1}, {"max_ops": -1}, {"max_ops": "nan"},
     {"max_ops": 1, "min_ops": 2}],
)  # fmt: skip
def test_wrong_limits_are_refused(fields):
    with pytest.raises(ValidationError):
        Limits(**fields)


@pytest.mark.parametrize("name", ["ops", "max_latency", "least_ops", "max_"])
def test_an_unknown_limit_is_named(name):
    with pytest.raises(UserError, match=f"no limit '{name}'"):
        constraints_from({name: 1})

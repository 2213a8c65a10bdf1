"""The limits of a search's config: what they read and what they refuse."""

import pytest
from pydantic import ValidationError

from search import SearchConfig
from search.limits.config import Limits
from supernet.costs.limits import limit_names
from supernet.costs.table import COSTS


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


def test_every_cost_can_be_limited_at_both_ends():
    assert set(Limits.model_fields) == set(limit_names()) <= set(SearchConfig.model_fields)
    assert len(limit_names()) == 2 * len(COSTS)
    assert SearchConfig(max_binary_parameters=9).limits() == {"max_binary_parameters": 9}

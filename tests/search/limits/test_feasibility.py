"""The report before a search: extremes, quantiles, refusals, and draws under tight limits."""

import json
from random import Random

import pytest

from search.limits.descent import descend, is_separable
from search.limits.feasibility import check_feasibility
from search.limits.measure import CostMeter
from search.limits.sampling import FeasibleSampler, all_architectures
from supernet.costs import cost
from supernet.costs.limits import limits_from, within
from supernet.files import UserError


def check(space, limits, measure=None, samples=300):
    return check_feasibility(space, measure or CostMeter(space), limits, samples, Random(0))


def test_the_meter_counts_as_supernet_costs_does(wide_space):
    measure = CostMeter(wide_space, {"latency_ms": lambda spec: len(spec.blocks) / 10})
    for seed in range(5):
        architecture = wide_space.sample(Random(seed))
        counted = cost(wide_space.decode(architecture)).as_dict()
        assert measure(architecture) == {**counted, "latency_ms": 2.8}


def test_extremes_are_those_of_the_whole_space(space):
    measure = CostMeter(space)
    found = check(space, {})
    for name in measure(space.first()):
        values = [measure(architecture)[name] for architecture in all_architectures(space)]
        assert found.ranges[name].minimum == min(values)
        assert found.ranges[name].maximum == max(values)
    assert found.acceptance == 1


def test_extremes_of_a_large_separable_space(wide_space):
    found = check(wide_space, {}).ranges["ops"]
    assert found.exact
    assert found.cheapest == wide_space.uniform(8)
    assert found.dearest == wide_space.uniform(1)
    assert found.minimum < found.quantiles[5] < found.quantiles[95] < found.maximum


def test_a_cost_that_is_no_sum_over_positions_is_called_an_estimate(wide_space):
    meter = CostMeter(wide_space)

    def measure(architecture):
        return {**meter(architecture), "latency_ms": meter(architecture)["ops"] ** 2 / 1e9}

    found = check(wide_space, {}, measure)
    assert not found.ranges["latency_ms"].exact
    assert found.ranges["latency_ms"].cheapest == wide_space.uniform(8)
    assert "an estimate" in found.table()
    assert not is_separable(wide_space, lambda a: measure(a)["latency_ms"], [wide_space.uniform(8)])


def test_an_infeasible_limit_names_the_extreme(wide_space):
    ranges = check(wide_space, {}).ranges["ops"]
    with pytest.raises(UserError, match=f"the cheapest, 8,.* has {ranges.minimum:,} operations"):
        check(wide_space, {"max_ops": ranges.minimum - 1})
    with pytest.raises(UserError, match=f"the dearest, 1,.* has {ranges.maximum:,} operations"):
        check(wide_space, {"min_ops": ranges.maximum + 1})
    assert check(wide_space, {"max_ops": ranges.minimum}).start == wide_space.uniform(8)


def test_limits_that_exclude_each_other(wide_space):
    ranges = check(wide_space, {}).ranges
    limits = {
        "max_ops": ranges["ops"].minimum * 1.01, "min_parameters": ranges["parameters"].maximum
    }  # fmt: skip
    with pytest.raises(UserError, match="no architecture found that keeps max_ops .* min_param"):
        check(wide_space, limits)


def test_limits_that_only_a_joint_search_meets(wide_space):
    # The late blocks hold the parameters, the early ones the OPs: both limits at once are rare.
    measure = CostMeter(wide_space)
    target = wide_space.architecture(
        {p.name: 8 if k < 6 else 1 for k, p in enumerate(wide_space.positions)}
    )
    costs = measure(target)
    limits = {"max_ops": costs["ops"], "min_parameters": costs["parameters"]}
    found = check(wide_space, limits, measure)
    assert found.acceptance == 0
    assert within(found.constraints, measure(found.start))


def test_the_report_prints_and_serialises(space):
    found = check(space, {"max_ops": 6_000})
    assert "max_ops 6,000" in found.table()
    assert json.loads(json.dumps(found.as_dict()))["limits"] == {"max_ops": 6_000}


def test_descent_finds_the_minimum_of_a_sum(wide_space):
    measure = CostMeter(wide_space)
    start = wide_space.sample(Random(3))
    assert descend(wide_space, lambda a: measure(a)["ops"], start) == wide_space.uniform(8)


@pytest.mark.parametrize("end", ["max", "min"])
def test_draws_under_a_limit_that_almost_nothing_keeps(wide_space, end):
    measure = CostMeter(wide_space)
    ranges = check(wide_space, {}).ranges["ops"]
    span = ranges.maximum - ranges.minimum
    limit = ranges.minimum + 0.06 * span if end == "max" else ranges.maximum - 0.06 * span
    found = check(wide_space, {f"{end}_ops": limit}, measure)
    assert found.acceptance == 0
    sampler = FeasibleSampler(wide_space, measure, found.constraints, found.start)
    rng, known = Random(0), set()
    for _ in range(40):
        drawn = sampler.draw(rng, known)
        assert drawn is not None and drawn not in known
        assert within(limits_from({f"{end}_ops": limit}), measure(drawn))
        known.add(drawn)
    # Not one corner: the walk reaches many choices.
    assert len({(name, choice) for a in known for name, choice in a.choices}) > 20


def test_draws_exhaust_a_small_space(space):
    measure = CostMeter(space)
    limits = {"max_ops": check(space, {}).ranges["ops"].quantiles[30]}
    found = check(space, limits, measure)
    feasible = {a for a in all_architectures(space) if within(found.constraints, measure(a))}
    sampler = FeasibleSampler(space, measure, found.constraints, found.start)
    rng, known = Random(0), set()
    while (drawn := sampler.draw(rng, known)) is not None:
        known.add(drawn)
    assert known == feasible

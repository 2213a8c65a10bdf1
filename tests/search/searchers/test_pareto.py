"""Dominance, sorting, crowding and hypervolume: by hand, by their laws, and against moocore."""

import math

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.searchers.pareto import (
    constraint_dominates,
    crowding_distances,
    dominates,
    hypervolume,
    nondominated,
    sort_into_fronts,
)

# Few distinct values, so that ties, repeats and the reference itself come up.
VALUES = st.integers(0, 6).map(float)


def point_sets(num_objectives):
    return st.lists(st.tuples(*[VALUES] * num_objectives), min_size=1, max_size=25)


any_points = st.one_of(point_sets(2), point_sets(3))


def test_dominance_by_hand():
    assert dominates((1, 2), (1, 3)) and dominates((0, 2), (1, 3))
    assert not dominates((1, 2), (1, 2)) and not dominates((0, 9), (1, 3))


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        (((9, 9), 0.0), ((1, 1), 0.1), True),  # feasible beats infeasible, however bad
        (((1, 1), 0.1), ((9, 9), 0.0), False),
        (((9, 9), 0.1), ((1, 1), 0.2), True),  # the smaller violation
        (((1, 1), 0.1), ((9, 9), 0.1), False),  # Deb: the same violation decides nothing
        (((1, 1), 0.0), ((1, 2), 0.0), True),  # both feasible: dominance
        (((1, 2), 0.0), ((2, 1), 0.0), False),
    ],
)
def test_constraint_domination_by_hand(first, second, wins):
    assert constraint_dominates(first[0], second[0], first[1], second[1]) is wins


@given(any_points)
def test_fronts_are_those_of_moocore(points):
    ranks = moocore.pareto_rank(np.array(points))
    fronts = sort_into_fronts(points, [0.0] * len(points))
    expected = [[i for i, r in enumerate(ranks) if r == rank] for rank in range(max(ranks) + 1)]
    assert fronts == expected


@given(any_points, st.data())
def test_no_point_of_a_front_beats_another_of_it_and_each_is_beaten_from_above(points, data):
    kinds = st.sampled_from([0.0, 0.0, 0.5, 1.0])
    broken = data.draw(st.lists(kinds, min_size=len(points), max_size=len(points)))

    def beats(i, j):
        return constraint_dominates(points[i], points[j], broken[i], broken[j])

    fronts = sort_into_fronts(points, broken)
    assert sorted(sum(fronts, [])) == list(range(len(points)))
    for front in fronts:
        assert not any(beats(i, j) for i in front for j in front)
    for above, below in zip(fronts, fronts[1:], strict=False):
        assert all(any(beats(i, j) for i in above) for j in below)
    # What is feasible lies above all that is not.
    order = [broken[i] > 0 for front in fronts for i in front]
    assert order == sorted(order)


@given(any_points)
def test_nondominated_points_are_those_of_moocore(points):
    kept = nondominated(points)
    assert [points[i] for i in kept] == sorted({points[i] for i in kept})
    mask = moocore.is_nondominated(np.array(points))  # keeps the first of equal points too
    assert sorted(kept) == [i for i, inside in enumerate(mask) if inside]


def test_crowding_by_hand():
    points = [(0.0, 10.0), (10.0, 0.0), (1.0, 8.0), (4.0, 2.0)]
    inner = [(4 - 0) / 10 + (10 - 2) / 10, (10 - 1) / 10 + (8 - 0) / 10]
    assert crowding_distances(points) == [math.inf, math.inf, *inner]
    assert crowding_distances([(1.0, 1.0)] * 3) == [0.0] * 3
    assert crowding_distances([]) == []


def test_hypervolume_by_hand():
    assert hypervolume([(1.0, 3.0), (2.0, 1.0)], (4.0, 4.0)) == 3 * 1 + 2 * 2
    # Two boxes 2 x 2 x 1 and 1 x 1 x 2 that share 1 x 1 x 1.
    assert hypervolume([(1.0, 1.0, 2.0), (2.0, 2.0, 1.0)], (3.0, 3.0, 3.0)) == 4 + 2 - 1
    assert hypervolume([], (1.0, 1.0)) == hypervolume([(0.0, 1.0)], (1.0, 1.0)) == 0


@given(st.one_of(point_sets(2), point_sets(3), point_sets(4)))
def test_hypervolume_is_that_of_moocore(points):
    reference = (5.0,) * len(points[0])
    expected = moocore.hypervolume(np.array(points), ref=reference)
    assert hypervolume(points, reference) == pytest.approx(expected, abs=1e-9)


@given(any_points, st.randoms(use_true_random=False))
def test_hypervolume_counts_the_front_alone_in_any_order(points, random):
    reference = (5.0,) * len(points[0])
    shuffled = random.sample(points, len(points))
    front = [points[i] for i in nondominated(points)]
    volumes = {hypervolume(some, reference) for some in (points, shuffled, front)}
    assert len(volumes) == 1
    assert hypervolume(points[:-1], reference) <= volumes.pop()

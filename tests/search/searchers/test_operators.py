"""Mutation and crossover: always inside the space, always a change, pure in their generator."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from search.searchers.operators import crossover, mutate
from supernet.spaces.mobilenet_groups import MobileNetGroups

SPACE = MobileNetGroups(
    image_size=8, classes=4, width=0.25, groups=(1, 2, 4), blocks=((64, 1), (64, 2), (128, 1))
)
SEEDS = st.integers(0, 2**32)


def changed(first, second):
    """The positions at which two architectures differ."""
    return {name for name in first if first[name] != second[name]}


@given(SEEDS, st.floats(0, 1))
def test_a_mutation_stays_in_the_space_and_changes_something(seed, probability):
    rng = Random(seed)
    parent = SPACE.sample(rng)
    child = mutate(SPACE, parent, rng, probability)
    assert SPACE.architecture(dict(child)) == child
    assert changed(parent, child)


@given(SEEDS)
def test_mutation_at_the_ends_of_the_probability(seed):
    rng = Random(seed)
    parent = SPACE.sample(rng)
    assert len(changed(parent, mutate(SPACE, parent, rng, 0.0))) == 1
    assert len(changed(parent, mutate(SPACE, parent, rng, 1.0))) == len(parent)


def test_where_nothing_can_change_nothing_does():
    fixed = MobileNetGroups(width=0.25, groups=(1,), blocks=((64, 1),))
    only = fixed.first()
    assert mutate(fixed, only, Random(0), 1.0) == only


@given(SEEDS)
def test_a_crossover_takes_each_choice_from_a_parent(seed):
    rng = Random(seed)
    first, second = SPACE.sample(rng), SPACE.sample(rng)
    child = crossover(first, second, rng)
    assert all(child[name] in (first[name], second[name]) for name in child)
    assert SPACE.architecture(dict(child)) == child
    assert crossover(first, first, rng) == first


@given(SEEDS)
def test_operators_are_functions_of_the_generator(seed):
    parent, other = SPACE.first(), SPACE.uniform(4)
    for operate in (
        lambda rng: mutate(SPACE, parent, rng, 0.3),
        lambda rng: crossover(parent, other, rng),
    ):
        assert operate(Random(seed)) == operate(Random(seed))


def test_every_choice_is_reached_by_mutation():
    rng = Random(0)
    found = {mutate(SPACE, SPACE.first(), rng, 1.0) for _ in range(200)}
    assert len(found) == 8  # 2 other choices at each of 3 positions: 2^3

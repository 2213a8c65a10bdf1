"""Architectures of shared choices: equal to the space's own, and small."""

import gc
import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.limits.measure import CostMeter
from supernet.architecture import Architecture
from supernet.candidate import SharedChoices
from supernet.costs import cost
from supernet.files import UserError


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0), order=st.randoms())
def test_equal_to_what_the_space_makes(wide_space, seed, order):
    shared, drawn = SharedChoices(wide_space), wide_space.sample(Random(seed))
    items = list(drawn.choices)
    for choices in (dict(items), dict(order.sample(items, len(items)))):
        read = shared.read(choices)
        assert read == wide_space.architecture(choices) == drawn == shared.of(drawn)
        assert all(a is b for a, b in zip(read.choices, shared.of(drawn).choices, strict=True))


@pytest.mark.parametrize("wrong", [True, 3, "1", None, [1], {}, 1.5])
def test_what_is_no_choice_is_refused_as_the_space_does(space, wrong):
    choices = {**dict(space.first().choices), "block2.spatial": wrong}
    with pytest.raises(UserError) as ours:
        SharedChoices(space).read(choices)
    with pytest.raises(UserError) as theirs:
        space.architecture(choices)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("change", [{"block9.spatial": 1}, {"block2.spatial": ...}])
def test_missing_and_unknown_positions_are_refused(space, change):
    choices = {**dict(space.first().choices), **change}
    choices = {name: choice for name, choice in choices.items() if choice is not ...}
    with pytest.raises(UserError, match="position 'block[29].spatial'"):
        SharedChoices(space).read(choices)


def test_many_take_less_memory_than_as_many_of_their_own(wide_space):
    """Of 13 pairs each is a tuple of two (40 bytes and more) and 8 bytes in the architecture."""
    shared, rng = SharedChoices(wide_space), Random(0)

    def num_bytes(make):
        gc.collect()  # gives back what Python keeps of freed tuples, which is not counted again
        tracemalloc.start()
        kept = [make(wide_space.sample(rng)) for _ in range(1000)]
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size / len(kept)

    assert num_bytes(lambda drawn: drawn) - num_bytes(shared.of) > 13 * 40


def test_costs_are_those_of_the_whole_network_and_leave_the_architecture_small(wide_space):
    measure, rng = CostMeter(wide_space), Random(0)
    for _ in range(20):
        architecture = wide_space.sample(rng)
        assert measure(architecture) == cost(wide_space.decode(architecture)).as_dict()
        fresh = Architecture(architecture.choices)
        measure(fresh)
        assert "_by_name" not in vars(fresh)

"""Batches: candidates that are scored together have the results that they have alone."""

import os
import signal

import pytest

from search.pools.pool import SerialPool, out_of_tries
from search.pools.ray_pool import RayPool
from search.pools.work_queue import Supply
from search.scoring.tasks import Failure, Race, Score


class TogetherScores:
    """Notes who is scored together; some calls misbehave."""

    def __init__(self, score, calls=None, bad=(), poison=()):
        self.score, self.calls = score, calls if calls is not None else []
        self.bad, self.poison = bad, poison

    def __call__(self, architecture):
        self.calls.append([str(architecture)])
        return self.one(architecture)

    def one(self, architecture):
        if str(architecture) in self.poison:
            os.kill(os.getpid(), signal.SIGKILL)
        if str(architecture) in self.bad:
            raise ValueError("cannot run")
        return self.score(architecture)

    def score_many(self, tasks):
        self.calls.append([str(task) for task in tasks])
        for place in reversed(range(len(tasks))):
            yield place, self.one(tasks[place])


@pytest.fixture
def items(space):
    import random

    rng = random.Random(3)
    drawn = {}
    while len(drawn) < 12:
        drawn[space.sample(rng)] = None
    return list(enumerate(drawn))


@pytest.mark.parametrize("batch", [1, 5, 12, 100])
def test_one_that_fails_takes_no_other_with_it(items, score, batch):
    calls = []
    bad = str(items[4][1])
    factory = lambda arrays: TogetherScores(score, calls, bad=(bad,))  # noqa: E731
    with SerialPool(factory, {}, batch=batch) as pool:
        found = dict(pool.score(items))
    expected = {index: Score(score(one)) for index, one in items}
    assert found == expected | {4: Failure("ValueError: cannot run")}
    together = [call for call in calls if len(call) > 1]
    assert all(len(call) <= batch for call in together)
    assert bool(together) == (batch > 1)


def test_equal_leading_choices_come_together(items):
    supply = Supply(items, batch=4, takers=3)
    taken = []
    while not supply.is_empty:
        taken.append([str(task) for _, task in supply.take()])
    assert [len(batch) for batch in taken] == [4, 3, 2, 1, 1, 1]
    assert sum(taken, []) == sorted(str(task) for _, task in items)


def test_what_waits_is_divided_among_the_takers(items):
    supply = Supply([*items[:5], None], batch=8, takers=2)
    assert len(supply.take()) == 3  # of 5 that wait
    assert len(supply.take()) == 1


def test_without_a_batch_nothing_is_read_ahead(items):
    read = []

    def noted():
        for item in items:
            read.append(item[0])
            yield item

    supply = Supply(noted())
    assert not supply.is_empty and read == [0]
    assert supply.take() == [items[0]] and read == [0]
    assert not supply.is_empty and read == [0, 1]


def test_what_was_lost_comes_first_and_alone(items):
    supply = Supply(items, batch=4)
    lost = supply.take()
    supply.give_back(lost)
    assert supply.next_lost == lost[0][0]
    assert [supply.take() for _ in lost] == [[item] for item in lost]
    assert supply.next_lost is None
    assert len(supply.take()) == 4


def test_races_sort_by_their_architectures(space):
    one, other = space.uniform(1), space.uniform(4)
    supply = Supply([(0, Race(other, None)), (1, Race(one, b"x"))], batch=2)
    assert [index for index, _ in supply.take()] == [1, 0]


def raise_once(error, times, bad):
    """A scorer that finds no memory for one architecture so many times."""
    raised = []

    def make(arrays):
        def scorer(architecture):
            if str(architecture) == bad and len(raised) < times:
                raised.append(1)
                raise error
            return 50.0

        return scorer

    return make


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")],
)
@pytest.mark.parametrize("batch", [1, 4])
def test_who_found_no_memory_is_tried_again_twice(items, error, batch):
    bad = str(items[4][1])
    for times in (1, 2, 3):
        with SerialPool(raise_once(error, times, bad), {}, batch=batch) as pool:
            found = dict(pool.score(items))
        assert found[4] == (Score(50.0) if times < 3 else out_of_tries())
        assert {found[index] for index, _ in items if index != 4} == {Score(50.0)}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_who_found_no_memory_in_a_worker_is_tried_again(ray, items):
    bad = str(items[4][1])
    with RayPool(raise_once(MemoryError(), 2, bad), {}, 1, batch=3) as pool:
        assert dict(pool.score(items)) == {index: Score(50.0) for index, _ in items}
    with RayPool(raise_once(MemoryError(), 99, bad), {}, 1, batch=3) as pool:
        assert dict(pool.score(items))[4] == out_of_tries()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_poison_in_a_batch_is_found_and_the_others_are_scored(ray, items, score):
    from ray import cloudpickle

    from tests.search.pools import test_batches

    cloudpickle.register_pickle_by_value(test_batches)
    poison = str(items[2][1])
    factory = lambda arrays: TogetherScores(score, poison=(poison,))  # noqa: E731
    with RayPool(factory, {}, 2, batch=4) as pool:
        found = dict(pool.score(items))
    expected = {index: Score(score(one)) for index, one in items}
    assert found == expected | {2: out_of_tries()}

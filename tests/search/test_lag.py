"""A search with a lag: candidate i hangs on the results of 0 to i - L, and on nothing else."""

import os
from collections import deque
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.config import SearchConfig, SearchStage
from search.pools.pool import SerialPool
from search.pools.ray_pool import RayPool
from search.run import run_search
from search.scoring.tasks import score_one
from search.searchers import SEARCHERS
from supernet.candidate import Candidate
from supernet.history_file import read_history
from tests.search.conftest import SMALL

GOLDEN = Path(__file__).parent / "golden" / "lag"
BUDGET = 26
every_searcher = pytest.mark.parametrize("name", SEARCHERS)
quick = settings(deadline=None, max_examples=12)


def lagged(lag, **changed):
    return SMALL.model_copy(update={"lag": lag, **changed})


class ShuffledPool(SerialPool):
    """`workers` calls at once, which come back in an order drawn from `seed`."""

    def __init__(self, factory, workers, seed):
        super().__init__(factory, {})
        self.workers, self.rng = workers, Random(seed)
        self.most_at_once = 0

    def pick(self, count):
        return self.rng.randrange(count)

    def score(self, items):
        items, running, is_over = iter(items), deque(), False
        while not is_over or running:
            while not is_over and len(running) < self.workers:
                try:
                    item = next(items)
                except StopIteration:
                    is_over = True
                    break
                if item is None:
                    break
                running.append(item)
            assert running or is_over, "waits for results that were all taken"
            self.most_at_once = max(self.most_at_once, len(running))
            if running:
                place = self.pick(len(running))
                index, architecture = running[place]
                del running[place]
                yield index, score_one(self._scorer, architecture)


@pytest.fixture(scope="module")
def scored(wide_space, score):
    """A factory of a scorer that fails for one architecture in five."""

    def make(arrays):
        def scorer(architecture):
            if architecture["block1.spatial"] == 8 and architecture["block2.spatial"] != 1:
                raise ValueError(f"cannot run {architecture}")
            return score(architecture)

        return scorer

    return make


@pytest.fixture(scope="module")
def serial(wide_space, make_searcher, scored, tmp_path_factory):
    """History bytes of a serial search by searcher and lag, made once."""
    made = {}

    def of(search, name, lag):
        if (name, lag) not in made:
            path = tmp_path_factory.mktemp("serial") / "h"
            pool = SerialPool(scored, {})
            search(wide_space, name, path, BUDGET, pool=pool, config=lagged(lag))
            made[name, lag] = path.read_bytes()
        return made[name, lag]

    return of


@pytest.fixture
def files(tmp_path):
    """A new file name at each call, for the examples of one test."""
    count = iter(range(10**6))
    return lambda: tmp_path / f"h{next(count)}"


@every_searcher
def test_the_golden_history(space, search, tmp_path, name):
    """EVOBIT_WRITE_GOLDEN=1 records the files anew, after a change that is meant."""
    limits = {"max_ops": 6_200}
    search(space, name, tmp_path / "h", 18, limits=limits, config=lagged(3))
    golden = GOLDEN / f"{name}.jsonl"
    if os.environ.get("EVOBIT_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes((tmp_path / "h").read_bytes())
    assert (tmp_path / "h").read_bytes() == golden.read_bytes()


@every_searcher
def test_neither_workers_nor_order_of_completion_matter(
    wide_space, search, scored, serial, files, name
):
    @quick
    @given(lag=st.sampled_from([1, 2, 5, 30]), workers=st.integers(1, 12), seed=st.integers(0))
    def check(lag, workers, seed):
        path = files()
        pool = ShuffledPool(scored, workers, seed)
        search(wide_space, name, path, BUDGET, pool=pool, config=lagged(lag))
        assert path.read_bytes() == serial(search, name, lag)
        # Never more than L at once, and so many wherever there are workers for them.
        assert pool.most_at_once == min(lag, workers, BUDGET)

    check()


@every_searcher
def test_a_resume_after_any_prefix_gives_the_same_bytes(
    wide_space, search, scored, serial, files, name
):
    @quick
    @given(
        lag=st.sampled_from([1, 2, 5, 30]),
        share=st.floats(0, 1),
        workers=st.integers(1, 12),
        seed=st.integers(0),
    )
    def check(lag, share, workers, seed):
        whole, path = serial(search, name, lag), files()
        path.write_bytes(whole[: round(share * len(whole))])  # A kill comes at any byte.
        pool = ShuffledPool(scored, workers, seed)
        search(wide_space, name, path, BUDGET, pool=pool, config=lagged(lag))
        assert path.read_bytes() == whole

    check()


@every_searcher
def test_a_larger_budget_continues_a_smaller_one(wide_space, search, scored, serial, files, name):
    path = files()
    for budget in (3, 9, 10, BUDGET):
        pool = ShuffledPool(scored, 4, budget)
        search(wide_space, name, path, budget, pool=pool, config=lagged(5))
    assert path.read_bytes() == serial(search, name, 5)


def proposals(make_searcher, space, name, lag, top1s, told_late=0, seed=0):
    """What is proposed one by one, each told `told_late` candidates later than need be."""
    searcher, measure = make_searcher(space, name, config=lagged(lag), seed=seed)
    made, waiting = [], deque()
    for index, top1 in enumerate(top1s):
        while searcher.is_waiting or len(waiting) > told_late:
            searcher.tell([waiting.popleft()])
        (one,) = searcher.ask(1)
        costs, failure = measure(one.architecture), "lost" if top1 is None else None
        waiting.append(
            Candidate(
                index, one.architecture, costs, top1, one.generation, one.origin, failure
            )
        )  # fmt: skip
        made.append(one)
    return made


TOP1S = st.lists(st.none() | st.integers(1, 99).map(float), min_size=20, max_size=20)


@every_searcher
def test_the_lag_rule(wide_space, make_searcher, name):
    """Other results from candidate j on change no proposal before j + L."""

    @quick
    @given(first=TOP1S, other=TOP1S, j=st.integers(0, 19), lag=st.integers(1, 9))
    def check(first, other, j, lag):
        changed = [*first[:j], *other[j:]]
        made = proposals(make_searcher, wide_space, name, lag, first)
        others = proposals(make_searcher, wide_space, name, lag, changed)
        assert made[: j + lag] == others[: j + lag]

    check()


@every_searcher
def test_results_that_come_early_change_nothing(wide_space, make_searcher, name):
    @quick
    @given(top1s=TOP1S, lag=st.integers(1, 9), late=st.integers(0, 9))
    def check(top1s, lag, late):
        wanted = proposals(make_searcher, wide_space, name, lag, top1s, told_late=lag)
        assert proposals(make_searcher, wide_space, name, lag, top1s, told_late=late) == wanted

    check()


@pytest.mark.parametrize("name", ["evolution", "regularized", "nsga2"])
def test_proposal_j_plus_lag_does_learn_from_candidate_j(wide_space, make_searcher, name):
    """Were it later, workers would idle. j = 5 is the worst or the best of the six told by then."""

    def is_changed(seed):
        told = [[*[50.0] * 5, top1, *[50.0] * 14] for top1 in (1.0, 99.0)]
        worst, best = (
            proposals(make_searcher, wide_space, name, 3, top1s, seed=seed) for top1s in told
        )
        assert worst[:8] == best[:8]
        return worst[8] != best[8]

    assert any(is_changed(seed) for seed in range(5))


@every_searcher
def test_an_exhausted_space_ends_the_search(space, search, factory, tmp_path, name):
    pool = ShuffledPool(factory, 4, 0)
    assert len(search(space, name, tmp_path / "h", 99, pool=pool, config=lagged(7))) == space.size


def test_generations_are_as_large_as_without_a_lag(wide_space, search, tmp_path):
    """6 random ones, then 3 mutants, 2 crossings and 1 random one each; regularized 6, then 4."""
    found = search(wide_space, "evolution", tmp_path / "e", 18, config=lagged(2))
    assert [one.generation for one in found] == [0] * 6 + [1] * 6 + [2] * 6
    origins = ["mutation"] * 3 + ["crossover"] * 2 + ["random"]
    assert [one.origin for one in found] == ["random"] * 6 + 2 * origins
    found = search(wide_space, "regularized", tmp_path / "r", 14, config=lagged(2))
    assert [one.generation for one in found] == [0] * 6 + [1] * 4 + [2] * 4
    assert [one.origin for one in found] == ["random"] * 6 + ["mutation"] * 8


def test_no_worker_waits_for_the_end_of_a_generation(wide_space, search, factory, tmp_path):
    """4 workers, L = 8: 4 run until only 3 are left; a generation of 6 ends with 3, 2, 1."""

    class Counting(ShuffledPool):
        def pick(self, count):
            return 0

        def score(self, items):
            self.running = []
            taken = 0

            def counted():
                nonlocal taken
                for item in items:
                    taken += item is not None
                    yield item

            for done, result in enumerate(super().score(counted())):
                self.running.append(taken - done)
                yield result

    def running(config):
        pool = Counting(factory, 4, 1)
        search(wide_space, "evolution", tmp_path / str(config.lag), 30, pool=pool, config=config)
        return pool.running

    assert running(lagged(8)) == [4] * 27 + [3, 2, 1]
    assert running(SMALL) == [4, 4, 4, 3, 2, 1] * 5


def test_the_log_has_one_line_a_generation(space, supernet_run, tmp_path, factory, capsys):
    import json

    settings = {"population": 6, "parents": 3, "mutations": 3, "crossovers": 2, "evaluations": 16}
    stage = SearchStage(space=space.describe(), search={**settings, "lag": 3})
    run_search(stage, tmp_path / "run", supernet_run, scorer_factory=factory)
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    lines = [(one["generation"], one["candidates"]) for one in log if one["event"] == "generation"]
    assert lines == [(0, 6), (1, 6), (2, 4)]
    assert "waiting" not in capsys.readouterr().err


def test_where_all_fail_nothing_is_recorded(space, supernet_run, tmp_path):
    def make(arrays):
        def fails(architecture):
            raise ValueError("no kernel")

        return fails

    settings = {"population": 6, "parents": 3, "mutations": 3, "crossovers": 2, "lag": 4}
    stage = SearchStage(space=space.describe(), search=settings)
    with pytest.raises(RuntimeError, match="none of the first 6 .* ValueError: no kernel"):
        run_search(stage, tmp_path / "run", supernet_run, scorer_factory=make)
    assert read_history(tmp_path / "run/history.jsonl", space) == []


def test_a_lag_below_one_is_refused():
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        SearchConfig(lag=0)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_ray_workers_give_the_serial_history(ray, wide_space, search, scored, serial, tmp_path):
    path = tmp_path / "ray"
    config = lagged(5)
    search(wide_space, "evolution", path, BUDGET, pool=RayPool(scored, {}, 2), config=config)
    assert path.read_bytes() == serial(search, "evolution", 5)
    assert b"cannot run" in path.read_bytes()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_lag_too_short_for_the_workers_is_said(
    ray, space, supernet_run, tmp_path, factory, capsys
):
    for lag in (3, 4):
        search = {"population": 6, "mutations": 3, "crossovers": 2, "evaluations": 8}
        search |= {"lag": lag, "workers": 2}
        stage = SearchStage(space=space.describe(), search=search)
        run_search(stage, tmp_path / str(lag), supernet_run, scorer_factory=factory)
        said = "search.lag 3 keeps 2 workers waiting for each other; 4 or more would not"
        assert (said in capsys.readouterr().err) == (lag == 3)

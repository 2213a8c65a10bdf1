"""Every searcher: reproducible, replayable, never repeating, ending; and what is its own."""

import os
from pathlib import Path

import pytest

from search.searchers import SEARCHERS, SearcherConfig
from supernet.candidate import Candidate, best
from supernet.files import UserError

GOLDEN = Path(__file__).parents[1] / "golden"
LIMITS = {"max_ops": 6_200}
every_searcher = pytest.mark.parametrize("name", SEARCHERS)


@every_searcher
def test_the_golden_history(space, search, tmp_path, name):
    """EVOBIT_WRITE_GOLDEN=1 records the files anew, after a change that is meant."""
    search(space, name, tmp_path / "h", 18, limits=LIMITS)
    golden = GOLDEN / f"{name}.jsonl"
    if os.environ.get("EVOBIT_WRITE_GOLDEN"):
        golden.write_bytes((tmp_path / "h").read_bytes())
    assert (tmp_path / "h").read_bytes() == golden.read_bytes()


def test_there_is_one_golden_history_for_each_searcher():
    assert {path.stem for path in GOLDEN.glob("*.jsonl")} == set(SEARCHERS)


@every_searcher
def test_never_repeats_and_keeps_the_limits(wide_space, search, tmp_path, name):
    limits = {"max_ops": 1_000_000}
    found = search(wide_space, name, tmp_path / "h", 120, limits=limits)
    assert len({candidate.architecture for candidate in found}) == len(found) == 120
    assert all(candidate.costs["ops"] <= 1_000_000 for candidate in found)
    generations = [candidate.generation for candidate in found]
    assert generations == sorted(generations)
    assert {candidate.origin for candidate in found if candidate.generation == 0} == {"random"}


@every_searcher
def test_seeds_matter_and_nothing_else(wide_space, search, tmp_path, name):
    for path, seed in (("a", 1), ("b", 1), ("c", 2)):
        search(wide_space, name, tmp_path / path, 40, seed=seed)
    first, same, other = ((tmp_path / path).read_bytes() for path in "abc")
    assert first == same != other


@every_searcher
def test_a_replay_after_any_number_of_candidates_continues_identically(
    wide_space, search, tmp_path, name
):
    search(wide_space, name, tmp_path / "whole", 26)
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    for count in range(len(lines) + 1):
        (tmp_path / "cut").write_bytes(b"".join(lines[:count]))
        search(wide_space, name, tmp_path / "cut", 26)
        assert (tmp_path / "cut").read_bytes() == b"".join(lines)


@every_searcher
def test_a_larger_budget_continues_a_smaller_one(wide_space, search, tmp_path, name):
    for budget in (9, 10, 33):
        search(wide_space, name, tmp_path / "grown", budget)
    search(wide_space, name, tmp_path / "whole", 33)
    assert (tmp_path / "grown").read_bytes() == (tmp_path / "whole").read_bytes()


@every_searcher
def test_it_does_not_matter_how_many_are_asked_at_a_time(wide_space, make_searcher, score, name):
    def proposals(step):
        searcher, measure = make_searcher(wide_space, name)
        made = []
        while len(made) < 30:
            asked = searcher.ask(min(step, 30 - len(made)))
            told = [
                Candidate(
                    len(made) + k, one.architecture, measure(one.architecture),
                    score(one.architecture), one.generation, one.origin,
                )
                for k, one in enumerate(asked)
            ]  # fmt: skip
            searcher.tell(told)
            made += asked
        return made

    assert proposals(1) == proposals(4) == proposals(1000)


@every_searcher
def test_an_exhausted_space_ends_the_search(space, search, tmp_path, name):
    found = search(space, name, tmp_path / "h", 1000)
    assert len(found) == space.size == 27


@every_searcher
def test_a_search_ends_where_the_limits_leave_no_more(space, search, make_searcher, tmp_path, name):
    everything = search(space, name, tmp_path / "all", 1000)
    limit = sorted(candidate.costs["ops"] for candidate in everything)[8]
    found = search(space, name, tmp_path / "h", 1000, limits={"max_ops": limit})
    assert len(found) == sum(candidate.costs["ops"] <= limit for candidate in everything)


@every_searcher
def test_an_infeasible_limit_is_refused(space, make_searcher, name):
    with pytest.raises(UserError, match="the cheapest, 4,4,4, has"):
        make_searcher(space, name, limits={"max_ops": 10})


@every_searcher
def test_another_history_is_refused(wide_space, search, tmp_path, name):
    search(wide_space, name, tmp_path / "h", 10, seed=1)
    with pytest.raises(UserError, match="line 1: this program proposes"):
        search(wide_space, name, tmp_path / "h", 10, seed=2)


@pytest.mark.parametrize("name", ["evolution", "regularized"])
def test_failed_candidates_are_no_parents(wide_space, make_searcher, score, name):
    """All but one fail: every later child descends from the one, or is random."""
    searcher, measure = make_searcher(wide_space, name)
    asked = searcher.ask(100)
    told = [
        Candidate(k, one.architecture, measure(one.architecture), 60.0 if k == 3 else None,
                  0, one.origin, None if k == 3 else "lost")
        for k, one in enumerate(asked)
    ]  # fmt: skip
    searcher.tell(told)
    children = [one for one in searcher.ask(100) if one.origin != "random"]
    assert children and {one.origin for one in children} == {"mutation"}
    for child in children:
        same = sum(child.architecture[p] == asked[3].architecture[p] for p in child.architecture)
        assert same >= 13 - 6


def test_if_all_fail_the_next_generation_is_random(wide_space, make_searcher):
    for name in SEARCHERS:
        searcher, measure = make_searcher(wide_space, name)
        asked = searcher.ask(100)
        searcher.tell(
            [
                Candidate(k, one.architecture, {}, None, 0, one.origin, "lost")
                for k, one in enumerate(asked)
            ]
        )
        assert {one.origin for one in searcher.ask(100)} == {"random"}


def test_a_generation_of_evolution_by_default_is_25_25_50(wide_space, search, tmp_path):
    found = search(wide_space, "evolution", tmp_path / "h", 150, config=SearcherConfig())
    for generation in (1, 2):
        origins = [c.origin for c in found if c.generation == generation]
        assert origins == ["mutation"] * 25 + ["crossover"] * 25
    assert [c.generation for c in found].count(0) == 50


def test_the_last_generation_counts(wide_space, make_searcher, search, tmp_path):
    """The best of the history may be of the last generation, which SPOS and MetaPruning lose."""
    found = search(wide_space, "evolution", tmp_path / "h", 30)
    last = found[-1].generation
    best_is_last = Candidate(
        30, wide_space.uniform(2), {"ops": 1}, 99.9, last, "mutation"
    )  # fmt: skip
    assert best([*found, best_is_last], 1) == [best_is_last]
    searcher, measure = make_searcher(wide_space, "evolution")
    for _ in range(3):
        asked = searcher.ask(6)
        searcher.tell(
            [
                Candidate(k, one.architecture, measure(one.architecture), 50.0 + one.generation,
                          one.generation, one.origin)
                for k, one in enumerate(asked)
            ]
        )  # fmt: skip
    searcher.ask(6)
    assert {candidate.generation for candidate in searcher._parents} == {2}


def test_too_many_children_for_the_population_are_refused():
    with pytest.raises(ValueError, match="more than the population of 10"):
        SearcherConfig(population=10)

"""Hand-made designs in generation 0: how many, of which searchers, and what older runs do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evobit.resuming import foretell
from search.config import SearchConfig, SearchStage
from search.run import as_begun, run_search
from search.searchers import SEARCHERS
from supernet.architecture_file import save_architecture
from supernet.files import UserError
from supernet.history_file import read_history

SETTINGS = {"population": 12, "parents": 3, "mutations": 3, "crossovers": 2, "children": 4}
every_searcher = pytest.mark.parametrize("name", SEARCHERS)
both_lags = pytest.mark.parametrize("lag", [None, 3])


def stage_of(space, **changed):
    settings = {**SETTINGS, "max_ops": 1_000_000, "evaluations": 20, **changed}
    return SearchStage(space=space.describe(), search=settings)


@pytest.fixture
def space(wide_space):
    return wide_space


@pytest.fixture
def run(tmp_path):
    return tmp_path / "search"


@every_searcher
@both_lags
def test_a_quarter_of_generation_0_is_made_by_hand(space, supernet_run, run, factory, name, lag):
    run_search(stage_of(space, searcher=name, lag=lag), run, supernet_run, scorer_factory=factory)
    found = read_history(run / "history.jsonl", space)
    number = 0 if name == "random" else 3
    origins = [one.origin for one in found]
    assert origins[:12] == ["design"] * number + ["random"] * (12 - number)
    assert "design" not in origins[12:] and [one.generation for one in found].count(0) == 12
    assert {one.architecture for one in found[:number]} <= set(space.designs().values())
    assert all(one.costs["ops"] <= 1_000_000 for one in found)
    assert json.loads((run / "manifest.json").read_text())["config"]["search"].get(
        "designs", False
    ) == (name != "random")


def test_they_are_asked_for_or_not(space, supernet_run, tmp_path, factory):
    for searcher, designs in (("random", True), ("evolution", False)):
        stage = stage_of(space, searcher=searcher, designs=designs)
        run_search(stage, tmp_path / searcher, supernet_run, scorer_factory=factory)
        found = read_history(tmp_path / searcher / "history.jsonl", space)
        assert [one.origin for one in found].count("design") == (3 if designs else 0)


@given(population=st.integers(1, 60), num_given=st.integers(0, 60), designs=st.booleans())
def test_never_more_than_a_quarter_and_never_a_larger_generation(population, num_given, designs):
    config = SearchConfig(
        population=population, parents=1, mutations=0, crossovers=0, designs=designs,
        start_with=[f"{n}.json" for n in range(num_given)] or None, evaluations=100,
    )  # fmt: skip
    most = config.most_designs
    assert 0 <= most <= population / 4 and (designs or most == 0)
    assert most == 0 or num_given + most <= population
    if designs and num_given <= population // 2:
        assert most == population // 4


def test_given_ones_stand_before_and_come_once(space, supernet_run, run, factory, tmp_path):
    first = stage_of(space)
    run_search(first, tmp_path / "a", supernet_run, scorer_factory=factory)
    design = read_history(tmp_path / "a" / "history.jsonl", space)[0].architecture
    save_architecture(tmp_path / "design.json", space, design)
    stage = stage_of(space, start_with=[tmp_path / "design.json"])
    run_search(stage, run, supernet_run, scorer_factory=factory)
    found = read_history(run / "history.jsonl", space)
    assert [one.origin for one in found[:5]] == ["given"] + ["design"] * 3 + ["random"]
    assert found[0].architecture == design and len({one.architecture for one in found}) == 20


@both_lags
def test_a_cut_history_and_a_small_budget_go_on_to_the_same_bytes(
    space, supernet_run, run, factory, lag, tmp_path
):
    """A budget of 2 scores two of the three designs; grown it scores the third."""
    whole = tmp_path / "whole" / "search"
    run_search(stage_of(space, lag=lag), whole, supernet_run, scorer_factory=factory)
    for evaluations in (2, 9, 20):
        stage = stage_of(space, lag=lag, evaluations=evaluations)
        run_search(stage, run, supernet_run, scorer_factory=factory)
    history = run / "history.jsonl"
    assert history.read_bytes() == (whole / "history.jsonl").read_bytes()
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(lines[:1]))
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "summary": None}))
    run_search(stage_of(space, lag=lag), run, supernet_run, scorer_factory=factory)
    assert history.read_bytes() == b"".join(lines)


def older(space, supernet_run, run, factory):
    """A search of before there were designs, stopped after five candidates."""
    stage = stage_of(space, designs=False, evaluations=5)
    run_search(stage, run, supernet_run, scorer_factory=factory)
    assert "designs" not in json.loads((run / "manifest.json").read_text())["config"]["search"]


def test_an_older_run_goes_on_without_them(space, supernet_run, run, factory, tmp_path, capsys):
    older(space, supernet_run, run, factory)
    capsys.readouterr()
    now = stage_of(space)
    assert now.search.has_designs and not as_begun(now, run).search.has_designs
    foretell(run, "search", now)
    assert capsys.readouterr().err == f"evobit: {run}: resuming\n"
    run_search(now, run, supernet_run, scorer_factory=factory)
    whole = stage_of(space, designs=False)
    run_search(whole, tmp_path / "whole", supernet_run, scorer_factory=factory)
    history = (run / "history.jsonl").read_bytes()
    assert history == (tmp_path / "whole" / "history.jsonl").read_bytes()
    assert b'"design"' not in history


def test_an_older_run_is_not_given_them_nor_a_newer_one_robbed(
    space, supernet_run, run, factory, tmp_path
):
    older(space, supernet_run, run, factory)
    with pytest.raises(UserError, match="search.designs was None, now True"):
        run_search(stage_of(space, designs=True), run, supernet_run, scorer_factory=factory)
    newer = tmp_path / "newer"
    run_search(stage_of(space, evaluations=5), newer, supernet_run, scorer_factory=factory)
    with pytest.raises(UserError, match="search.designs was True, now None"):
        run_search(stage_of(space, designs=False), newer, supernet_run, scorer_factory=factory)
    # Asked for or by default: the same search.
    run_search(stage_of(space, designs=True), newer, supernet_run, scorer_factory=factory)


def test_an_old_record_says_that_there_are_none(space):
    stage = stage_of(space, searcher="nsga2")
    old = stage.recorded()
    del old["search"]["designs"]
    assert SearchStage.of_record(old).search.designs is False
    assert SearchStage.of_record(stage.recorded()).search.designs is True

"""A search that goes on with a larger budget, and one that starts with given architectures."""

import hashlib

import pytest

from search.config import SearchConfig, SearchStage
from search.run import run_search
from search.searchers import SEARCHERS
from supernet.architecture_file import save_architecture
from supernet.files import UserError
from supernet.history_file import read_history

SETTINGS = {"population": 6, "parents": 3, "mutations": 3, "crossovers": 2, "children": 4}
every_searcher = pytest.mark.parametrize("name", SEARCHERS)
both_lags = pytest.mark.parametrize("lag", [None, 3])


def stage_of(space, **changed):
    return SearchStage(space=space.describe(), search={**SETTINGS, **changed})


@pytest.fixture
def run(tmp_path):
    """Where the search goes; each name has a folder of its own, for best.json names its run's."""

    def place(name):
        return tmp_path / name / "search"

    return place


@every_searcher
@both_lags
def test_a_grown_run_equals_one_of_the_larger_budget(space, supernet_run, run, factory, name, lag):
    for generations in (0, 1, 3):  # 6, 12 and 24 of 27
        grown = stage_of(space, searcher=name, lag=lag, generations=generations)
        run_search(grown, run("grown"), supernet_run, scorer_factory=factory)
    whole = stage_of(space, searcher=name, lag=lag, evaluations=24)
    summary = run_search(whole, run("whole"), supernet_run, scorer_factory=factory)
    assert summary["evaluations"] == 24
    for file in ("history.jsonl", "best.json", "feasibility.json"):
        assert (run("grown") / file).read_bytes() == (run("whole") / file).read_bytes()


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_smaller_budget_is_refused(space, supernet_run, run, factory, is_finished):
    def stops(arrays):
        def scorer(architecture):
            raise KeyboardInterrupt

        return scorer

    stage = stage_of(space, generations=2)
    if is_finished:
        run_search(stage, run("r"), supernet_run, scorer_factory=factory)
    else:
        with pytest.raises(KeyboardInterrupt):
            run_search(stage, run("r"), supernet_run, scorer_factory=stops)
    before = {path: path.read_bytes() for path in run("r").iterdir()}
    for smaller in ({"evaluations": 17}, {"generations": 1}):
        with pytest.raises(UserError, match="its budget is 18 candidates, now 1[27]: .* only grow"):
            run_search(stage_of(space, **smaller), run("r"), supernet_run, scorer_factory=factory)
    assert {path: path.read_bytes() for path in run("r").iterdir()} == before


def test_an_exhausted_space_stays_so_with_a_larger_budget(space, supernet_run, run, factory):
    for evaluations in (100, 200):
        stage = stage_of(space, evaluations=evaluations)
        summary = run_search(stage, run("r"), supernet_run, scorer_factory=factory)
        assert summary["is_exhausted"] and summary["evaluations"] == space.size


@pytest.fixture
def files(space, tmp_path):
    """Architecture files of three uniform networks: 4, 2 and 1 groups, the dearest last."""
    paths = []
    for groups in (4, 2, 1):
        paths.append(tmp_path / f"groups{groups}.json")
        save_architecture(paths[-1], space, space.uniform(groups))
    return paths


@every_searcher
@both_lags
def test_given_architectures_come_first(space, supernet_run, run, factory, files, name, lag):
    stage = stage_of(space, searcher=name, lag=lag, start_with=files, evaluations=20)
    run_search(stage, run("r"), supernet_run, scorer_factory=factory)
    found = read_history(run("r") / "history.jsonl", space)
    assert [one.architecture for one in found[:3]] == [space.uniform(g) for g in (4, 2, 1)]
    # They are part of generation 0, which hand-made and random ones fill up.
    fourth = "random" if name == "random" else "design"
    assert [one.origin for one in found[:6]] == ["given"] * 3 + [fourth] + ["random"] * 2
    assert [one.generation for one in found[:7]] == [0] * 6 + [1]
    assert len({one.architecture for one in found}) == 20


def test_more_given_than_the_population_are_all_of_generation_0(
    space, supernet_run, run, factory, files
):
    small = {"population": 2, "mutations": 1, "crossovers": 1, "evaluations": 5}
    for lag in (None, 1):
        stage = stage_of(space, start_with=files, lag=lag, **small)
        run_search(stage, run(str(lag)), supernet_run, scorer_factory=factory)
        found = read_history(run(str(lag)) / "history.jsonl", space)
        assert [one.generation for one in found] == [0, 0, 0, 1, 1]


@both_lags
def test_a_cut_history_is_continued_to_the_same_bytes(
    space, supernet_run, run, factory, files, lag
):
    stage = stage_of(space, start_with=files, lag=lag, evaluations=20)
    run_search(stage, run("whole"), supernet_run, scorer_factory=factory)
    whole = (run("whole") / "history.jsonl").read_bytes()
    run_search(
        stage.model_copy(update={"search": stage.search.model_copy(update={"evaluations": 3})}),
        run("cut"), supernet_run, scorer_factory=factory,
    )  # fmt: skip
    for cut in (0, len(whole) // 15, len(whole) // 2):
        (run("cut") / "history.jsonl").write_bytes(whole[:cut])
        evaluations = {0: 18, len(whole) // 15: 19, len(whole) // 2: 20}[cut]
        search = stage.search.model_copy(update={"evaluations": evaluations})
        resumed = stage.model_copy(update={"search": search})
        run_search(resumed, run("cut"), supernet_run, scorer_factory=factory)
    assert (run("cut") / "history.jsonl").read_bytes() == whole


def test_the_files_are_recorded_and_must_stay(space, supernet_run, run, factory, files):
    stage = stage_of(space, start_with=files[:2], evaluations=8)
    run_search(stage, run("r"), supernet_run, scorer_factory=factory)
    import json

    inputs = json.loads((run("r") / "manifest.json").read_text())["inputs"]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    assert [inputs[f"architecture {n}"]["sha256"] for n in (1, 2)] == hashes[:2]
    assert "architecture 3" not in inputs
    other = stage_of(space, start_with=files[1:], evaluations=9)
    with pytest.raises(UserError, match="search.start_with was .*groups4.json"):
        run_search(other, run("r"), supernet_run, scorer_factory=factory)
    save_architecture(files[1], space, space.uniform(1))
    with pytest.raises(UserError, match="was made from another architecture 2"):
        run_search(stage, run("r"), supernet_run, scorer_factory=factory)


def test_unfit_files_are_refused_before_any_work(
    space, wide_space, supernet_run, run, factory, files, tmp_path
):
    foreign, torn = tmp_path / "foreign.json", tmp_path / "torn.json"
    save_architecture(foreign, wide_space, wide_space.first())
    torn.write_text('{"format": "evobit/archi')
    cases = [
        ([files[0], tmp_path / "none.json"], {}, "none.json"),
        ([torn], {}, "torn.json"),
        ([foreign], {}, "foreign.json: belongs to another search space"),
        ([files[0], files[1], files[0]], {}, "groups4.json: 4,4,4 is also in .*groups4.json"),
        (files, {"max_ops": 6_200}, "groups1.json: has [0-9,]+ operations, .* max_ops 6,200"),
        (files, {"min_bits": 20_000}, "groups4.json: has 19,216 bits, .* min_bits 20,000"),
    ]
    for start_with, limits, says in cases:
        stage = stage_of(space, start_with=start_with, evaluations=8, **limits)
        with pytest.raises(UserError, match=says):
            run_search(stage, run("r"), supernet_run, scorer_factory=factory)
        assert not run("r").exists()


def test_a_budget_below_the_number_given_is_refused(files):
    with pytest.raises(ValueError, match="names 3 files, more than the budget of 2 candidates"):
        SearchConfig(start_with=files, evaluations=2)

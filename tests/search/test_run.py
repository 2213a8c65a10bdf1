"""A whole search run: its files, resume, growth, refusals, failures, and export."""

import hashlib
import json
import time

import pytest

from search.config import SearchConfig, SearchStage
from search.results.export import export_best
from search.run import run_search
from supernet.architecture_file import load_architecture
from supernet.files import UserError
from supernet.history_file import read_history
from tests.processes import begin

SETTINGS = {"population": 6, "parents": 3, "mutations": 3, "crossovers": 2, "evaluations": 16}


def stage_of(space, seed=0, **changed):
    return SearchStage(space=space.describe(), search={**SETTINGS, **changed}, seed=seed)


@pytest.fixture
def run(tmp_path):
    """Where the search goes."""
    return tmp_path / "first" / "search"


def test_what_a_run_leaves(space, supernet_run, run, factory, capsys):
    stage = stage_of(space, max_ops=6_200)
    summary = run_search(stage, run, supernet_run, scorer_factory=factory)
    found = read_history(run / "history.jsonl", space)
    assert summary["evaluations"] == len(found) == 16
    winner = max(found, key=lambda candidate: candidate.top1)
    loaded_space, architecture, document = load_architecture(run / "best.json")
    assert (loaded_space, architecture) == (space, winner.architecture)
    assert document["costs"] == winner.costs
    provenance = document["provenance"]
    assert provenance["top1"] == winner.top1 == summary["search_top1"]
    assert provenance["limits"] == {"max_ops": 6_200}
    assert provenance["split"] == "search" and len(provenance["supernet_sha256"]) == 64
    assert str(run.parent) not in (run / "best.json").read_text()
    assert json.loads((run / "feasibility.json").read_text())["acceptance"] < 1
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["generation"] for line in log if line["event"] == "generation"] == [0, 1, 2]
    captured = capsys.readouterr()
    assert captured.out == "" and "limits: max_ops 6,200" in captured.err


def test_a_finished_run_is_left_alone_and_grows(space, supernet_run, run, factory, tmp_path):
    def broken(arrays):
        raise AssertionError("nothing is left to score")

    first = run_search(stage_of(space), run, supernet_run, scorer_factory=factory)
    assert run_search(stage_of(space), run, supernet_run, scorer_factory=broken) == first
    grown = stage_of(space, evaluations=21)
    assert run_search(grown, run, supernet_run, scorer_factory=factory)["evaluations"] == 21
    whole = tmp_path / "whole" / "search"
    run_search(grown, whole, supernet_run, scorer_factory=factory)
    for name in ("history.jsonl", "best.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


def test_a_resume_may_change_workers_but_no_setting(space, supernet_run, run, factory):
    run_search(stage_of(space), run, supernet_run, scorer_factory=factory)
    before = (run / "history.jsonl").read_bytes()
    run_search(stage_of(space, workers=3, timeout_s=5), run, supernet_run, scorer_factory=factory)
    with pytest.raises(UserError, match="search.population was 6, now 7"):
        run_search(stage_of(space, population=7), run, supernet_run, scorer_factory=factory)
    assert (run / "history.jsonl").read_bytes() == before


def test_an_infeasible_limit_leaves_no_run_folder(space, supernet_run, run, factory):
    with pytest.raises(UserError, match="the cheapest, 4,4,4, has"):
        run_search(stage_of(space, max_ops=1), run, supernet_run, scorer_factory=factory)
    assert not run.exists()


def test_a_supernet_of_another_space_is_refused(space, supernet_run, run, factory):
    wrong = stage_of(space).model_copy(update={"space": {**space.describe(), "classes": 5}})
    with pytest.raises(UserError, match="another space: classes is 5, not 4"):
        run_search(wrong, run, supernet_run, scorer_factory=factory)


def test_failures_are_recorded_and_never_win(space, supernet_run, run, score):
    def make(arrays):
        def fails_sometimes(architecture):
            if architecture["block1.spatial"] == 1:
                raise ValueError("cannot\nrun")
            return float("nan") if architecture["block1.spatial"] == 2 else score(architecture)

        return fails_sometimes

    summary = run_search(stage_of(space, evaluations=27), run, supernet_run, scorer_factory=make)
    found = read_history(run / "history.jsonl", space)
    reasons = {candidate.failure for candidate in found}
    assert reasons == {None, "ValueError: cannot run", "top1 is nan"}
    assert summary["failed"] == 18
    assert load_architecture(run / "best.json")[1]["block1.spatial"] == 4


def test_where_everything_fails_nothing_is_recorded(space, supernet_run, run, factory):
    def make(arrays):
        def fails(architecture):
            raise ValueError("no kernel")

        return fails

    with pytest.raises(RuntimeError, match="none of the first 6 .* ValueError: no kernel"):
        run_search(stage_of(space), run, supernet_run, scorer_factory=make)
    assert (run / "history.jsonl").read_bytes() == b""
    assert run_search(stage_of(space), run, supernet_run, scorer_factory=factory)["failed"] == 0


def slow_search(stage, run, supernet_run):
    """In a process of its own: each score takes 0.2 s."""

    def make(arrays):
        def fake_top1(architecture):
            time.sleep(0.2)
            digest = hashlib.sha256(str(architecture).encode()).digest()
            return round(50 + sum(digest[:4]) / 25.5, 2)

        return fake_top1

    run_search(stage, run, supernet_run, scorer_factory=make)


def test_a_search_killed_twice_resumes_to_the_same_bytes(
    space, supernet_run, run, factory, tmp_path
):
    stage = stage_of(space)
    whole = tmp_path / "whole" / "search"
    run_search(stage, whole, supernet_run, scorer_factory=factory)
    for lines in (2, 9):
        driver = begin(slow_search, stage, run, supernet_run)
        history = run / "history.jsonl"
        deadline = time.monotonic() + 60
        while not history.exists() or history.read_bytes().count(b"\n") < lines:
            assert driver.is_alive() and time.monotonic() < deadline
            time.sleep(0.01)
        driver.kill()
        driver.join()
        assert lines <= history.read_bytes().count(b"\n") < 16
        with open(history, "ab") as file:
            file.write(b'{"index":')
    run_search(stage, run, supernet_run, scorer_factory=factory)
    for name in ("history.jsonl", "best.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()


def test_a_second_driver_is_refused(space, supernet_run, run, factory):
    refused = []

    def make(arrays):
        def starts_another(architecture):
            try:
                run_search(stage_of(space), run, supernet_run, scorer_factory=factory)
            except UserError as error:
                refused.append(str(error))
            return 50.0

        return starts_another

    run_search(stage_of(space), run, supernet_run, scorer_factory=make)
    assert len(refused) == 16 and "another process is working in it" in refused[0]


def test_export(space, supernet_run, run, factory, tmp_path):
    run_search(stage_of(space, evaluations=27), run, supernet_run, scorer_factory=factory)
    output = tmp_path / "out" / "best.json"
    assert export_best(run, output) == [output]
    assert output.read_bytes() == (run / "best.json").read_bytes()
    files = export_best(run, output, [{"max_ops": 5_800}, {"max_ops": 6_200, "min_ops": 5_800}])
    assert [file.name for file in files] == ["best-1.json", "best-2.json"]
    first, second = (load_architecture(file)[2] for file in files)
    assert first["costs"]["ops"] <= 5_800 <= second["costs"]["ops"] <= 6_200
    assert first["provenance"]["limits"] == {"max_ops": 5_800}
    assert second["provenance"]["limits"] == {"max_ops": 6_200, "min_ops": 5_800}
    assert "export_limits" not in first["provenance"]
    kept = [c for c in read_history(run / "history.jsonl", space) if c.costs["ops"] <= 5_800]
    assert first["provenance"]["top1"] == max(candidate.top1 for candidate in kept)


def test_limits_of_an_export_join_those_of_its_search(space, supernet_run, run, factory, tmp_path):
    stage = stage_of(space, evaluations=27, max_ops=6_500, max_bits=1e9)
    run_search(stage, run, supernet_run, scorer_factory=factory)
    (file,) = export_best(run, tmp_path / "best.json", [{"max_ops": 6_200}])
    provenance = load_architecture(file)[2]["provenance"]
    assert provenance["limits"] == {"max_ops": 6_200, "max_bits": 1e9}


def test_export_refusals_write_nothing(space, supernet_run, run, factory, tmp_path):
    output = tmp_path / "best.json"
    with pytest.raises(UserError, match="not the run folder of a search"):
        export_best(supernet_run, output)
    run_search(stage_of(space), run, supernet_run, scorer_factory=factory)
    with pytest.raises(UserError, match="no scored candidate keeps max_ops 1; ops of the scored"):
        export_best(run, output, [{"max_ops": 6_500}, {"max_ops": 1}])
    with pytest.raises(UserError, match="no limit 'ops'"):
        export_best(run, output, [{"ops": 1}])
    with pytest.raises(UserError, match="has no latency_ms of its candidates"):
        export_best(run, output, [{"max_latency_ms": 1}])
    assert not list(tmp_path.glob("best*"))


def test_the_default_budget_is_that_of_spos():
    assert SearchConfig().budget == 50 + 20 * 50
    assert SearchConfig(evaluations=7).budget == 7


@pytest.mark.parametrize(
    "fields", [{"populaton": 1}, {"searcher": "annealing"}, {"workers": -1}, {"evaluations": 0}]
)
def test_wrong_settings_are_refused(fields):
    with pytest.raises(ValueError):
        SearchConfig(**fields)


def test_a_long_history_of_other_costs_is_refused(wide_space, search, monkeypatch, tmp_path):
    """Past the first ones every so many is counted again: here one in 4 past 8."""
    from search import loop

    monkeypatch.setattr(loop, "COUNTED_AGAIN", 8)
    monkeypatch.setattr(loop, "COUNTED_STEP", 4)
    search(wide_space, "evolution", tmp_path / "h", 20)
    lines = (tmp_path / "h").read_text().splitlines()
    refused = []
    for index in range(20):
        document = json.loads(lines[index])
        document["costs"]["ops"] += 1
        changed = [*lines[:index], json.dumps(document), *lines[index + 1 :]]
        (tmp_path / "changed").write_text("\n".join(changed) + "\n")
        try:
            search(wide_space, "evolution", tmp_path / "changed", 20)
        except UserError as error:
            assert f"line {index + 1}: this program proposes or counts" in str(error)
            refused.append(index)
    # An edited cost may also change who wins a tie; so more may be refused, but not fewer.
    assert {*range(8), 8, 12, 16} <= set(refused)

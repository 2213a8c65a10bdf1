"""Search under measured latency: limits, objectives, refusals, and finalists that are measured."""

import json

import pytest
from pydantic import ValidationError

import search.limits.latency as latency_module
from search.config import SearchStage
from search.results.export import export_best
from search.run import run_search
from supernet.architecture_file import load_architecture
from supernet.files import UserError
from supernet.history_file import read_history
from supernet.spec import BinaryUnitSpec
from tests.latency_tables.group_table import save_group_table

SETTINGS = {"population": 6, "parents": 3, "mutations": 3, "crossovers": 2, "evaluations": 16}


def stage_of(space, **changed):
    return SearchStage(space=space.describe(), search={**SETTINGS, **changed})


@pytest.fixture
def table(space, tmp_path):
    return save_group_table(tmp_path / "t.csv", space)


@pytest.fixture
def measured(monkeypatch):
    """What the machine measures: by default what the table predicts; tests change it."""
    factors = {}

    def measure(self, spec):
        return self.predict(spec) * factors.get(groups_of(spec), 1.0)

    monkeypatch.setattr(latency_module.Latency, "measure", measure)
    return factors


def groups_of(spec):
    return tuple(
        b.groups for b in spec.blocks if isinstance(b, BinaryUnitSpec) and b.kernel_size == 3
    )


def test_a_limit_in_milliseconds_is_kept(space, supernet_run, tmp_path, factory, table, measured):
    # Three 3x3 layers of 1, 2 or 4 groups and three 1x1 layers of 1: from 6 to 15 ms.
    stage = stage_of(space, latency_table=table, max_latency_ms=9)
    summary = run_search(stage, tmp_path / "run", supernet_run, scorer_factory=factory)
    found = read_history(tmp_path / "run" / "history.jsonl", space)
    for candidate in found:
        expected = 3 + sum(groups_of(space.decode(candidate.architecture)))
        assert candidate.costs["latency_ms"] == pytest.approx(expected, abs=0.01)
        assert candidate.costs["latency_ms"] <= 9
    assert summary["latency_ms"] <= 9
    feasibility = json.loads((tmp_path / "run" / "feasibility.json").read_text())
    assert feasibility["costs"]["latency_ms"]["minimum"] == pytest.approx(6, abs=0.01)
    assert feasibility["costs"]["latency_ms"]["maximum"] == pytest.approx(15, abs=0.01)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert len(manifest["inputs"]["latency table"]["sha256"]) == 64


def test_a_finalist_that_breaks_the_limit_when_measured_is_replaced(
    space, supernet_run, tmp_path, factory, table, measured
):
    stage = stage_of(space, latency_table=table, max_latency_ms=9)
    first = run_search(stage, tmp_path / "calm", supernet_run, scorer_factory=factory)
    assert [row["kept"] for row in first["measured"]] == [True]
    winner = load_architecture(tmp_path / "calm" / "best.json")[1]
    measured[groups_of(space.decode(winner))] = 2.0
    second = run_search(stage, tmp_path / "run", supernet_run, scorer_factory=factory)
    rows = second["measured"]
    assert [row["kept"] for row in rows] == [False, True]
    assert rows[0]["architecture"] == str(winner) != second["best"] == rows[1]["architecture"]
    assert rows[0]["measured_ms"] == pytest.approx(2 * rows[0]["predicted_ms"], rel=1e-4)
    assert rows[0]["top1"] >= rows[1]["top1"]
    assert json.loads((tmp_path / "run" / "measured.json").read_text()) == rows
    export_best(tmp_path / "run", tmp_path / "best.json")
    assert str(load_architecture(tmp_path / "best.json")[1]) == second["best"]
    histories = [(tmp_path / name / "history.jsonl").read_bytes() for name in ("calm", "run")]
    assert histories[0] == histories[1]  # no measurement reaches the history


def test_a_limit_that_nothing_keeps_is_refused(space, supernet_run, tmp_path, factory, table):
    stage = stage_of(space, latency_table=table, max_latency_ms=5)
    with pytest.raises(UserError, match=r"max_latency_ms 5: no architecture is that cheap.* 6\.0"):
        run_search(stage, tmp_path / "run", supernet_run, scorer_factory=factory)
    assert not (tmp_path / "run").exists()


def test_latency_is_an_objective(space, supernet_run, tmp_path, factory, table, measured):
    stage = stage_of(
        space, searcher="nsga2", objectives=["latency_ms"], latency_table=table, evaluations=24
    )
    summary = run_search(stage, tmp_path / "run", supernet_run, scorer_factory=factory)
    assert 0 < summary["hypervolume"] < 1
    assert [row["index"] for row in summary["measured"]] == summary["front"]
    times = [row["predicted_ms"] for row in summary["measured"]]
    assert times == sorted(times)


@pytest.mark.parametrize(
    ("header", "search", "part"),
    [
        ({"kernel_version": 99}, {}, "kernel version '99'"),
        ({"isa": "other"}, {}, "instruction set 'other'"),
        ({"device": "a telephone"}, {}, "device 'a telephone'"),
        ({"threads": 2}, {}, "threads 2, the search asks for 1"),
        ({}, {"latency_batch": 4}, "batch 1, the search asks for 4"),
        ({"held_out": None}, {}, "nobody measured"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_the_search(
    space, supernet_run, tmp_path, factory, header, search, part
):
    table = save_group_table(tmp_path / "t.csv", space, **header)
    stage = stage_of(space, latency_table=table, max_latency_ms=9, **search)
    with pytest.raises(UserError, match=part):
        run_search(stage, tmp_path / "run", supernet_run, scorer_factory=factory)
    assert not (tmp_path / "run").exists()


def test_another_device_may_be_searched_for(space, supernet_run, tmp_path, factory, measured):
    table = save_group_table(tmp_path / "t.csv", space, device="a telephone", held_out=None)
    stage = stage_of(
        space,
        latency_table=table,
        max_latency_ms=9,
        latency_device="other",
        trust_latency_table=True,
    )
    summary = run_search(stage, tmp_path / "run", supernet_run, scorer_factory=factory)
    assert "measured" not in summary
    assert summary["latency_ms"] <= 9


def test_a_table_of_another_space_is_refused(
    space, wide_space, supernet_run, tmp_path, factory, table
):
    table = save_group_table(tmp_path / "w.csv", wide_space)
    with pytest.raises(UserError, match="no entry for the layer .* made for another space"):
        run_search(
            stage_of(space, latency_table=table),
            tmp_path / "r",
            supernet_run,
            scorer_factory=factory,
        )


@pytest.mark.parametrize(
    "search", [{"max_latency_ms": 3}, {"searcher": "nsga2", "objectives": ["latency_ms"]}]
)
def test_latency_without_a_table_is_refused(space, search):
    with pytest.raises(ValidationError, match="needs latency_table"):
        stage_of(space, **search)

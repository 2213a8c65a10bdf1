"""What was trained: worked histograms, paths drawn once more, refusals, and the report."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch

from search.config import SearchStage
from search.coverage.coverage import cover, cover_run
from search.coverage.report import CostCoverage, Coverage, histogram
from search.coverage.trained_paths import Training
from search.limits.measure import CostMeter
from search.run import run_search
from supernet.files import UserError, save_weights
from supernet.space import SearchSpace
from supernet.supernet import Supernet
from training.path_sampling import DrawRecord, PathDrawer
from training.run_files.folder import RunFolder
from training.supernet_stage import SupernetStage

STEPS_PER_EPOCH = 4
SCHEDULE = [{"epoch": 0, "choices": {"*": [1]}}, {"epoch": 2, "choices": {"block2.*": [1, 4]}}]


@pytest.fixture
def trained(tmp_path, space):
    """Makes the folder of a supernet run whose counts the training's own drawer recorded."""

    def make(name="supernet", **settings):
        stage = SupernetStage(space=space.describe(), supernet={"epochs": 10, **settings}, seed=5)
        phases = stage.supernet.in_phases()
        record = DrawRecord(space, stage.supernet.sampling)
        drawer = PathDrawer(
            Supernet(space, stage.supernet.sharing), stage.supernet.sampling, record,
            seed=stage.seed, steps_per_epoch=STEPS_PER_EPOCH,
        )  # fmt: skip
        before = 0
        for number, phase in enumerate(phases, start=1):
            drawer.begin(number, before)
            for step in range(phase.epochs * STEPS_PER_EPOCH):
                drawer(step)
            before += phase.epochs
        folder = RunFolder.open(tmp_path / name, "supernet", stage.model_dump(mode="json"))
        save_weights(folder.path / "supernet.safetensors", {"weight": torch.zeros(1)})
        folder.finish({"steps": before * STEPS_PER_EPOCH, **record.as_dict()})
        return folder.path

    return make


def test_a_worked_histogram():
    # Bins of 10 from 100 to 200; 110 opens the second, 200 closes the last.
    values = [100, 109, 110, 155, 199, 200]
    assert histogram(values, 100, 200) == (2, 1, 0, 0, 0, 1, 0, 0, 0, 2)
    assert histogram([7, 7, 7], 7, 7) == (3,)


def test_a_worked_range():
    found = CostCoverage.of(100, 200, [160, 120, 130, 130], [100, 200])
    assert (found.minimum, found.maximum) == (120, 160)
    assert found.share == (160 - 120) / (200 - 100)
    assert found.trained == (0, 0, 1, 2, 0, 0, 1, 0, 0, 0) and found.num_empty == 7
    assert found.drawn == (1, 0, 0, 0, 0, 0, 0, 0, 0, 1)
    # Of four values in order the ones at 5 * 4 / 100 = 0, 50 * 4 / 100 = 2 and 75 * 4 / 100 = 3.
    assert [found.quantiles[percent] for percent in (5, 50, 75)] == [120, 130, 160]
    assert found.as_dict()["bins"]["edges"] == list(range(100, 201, 10))


def test_ends_that_were_estimates_move_out():
    found = CostCoverage.of(100, 200, [90, 150], [210])
    assert (found.low, found.high, found.share) == (90, 210, 60 / 120)


def test_a_cost_that_all_share_is_trained_whole():
    found = CostCoverage.of(7, 7, [7, 7], [7])
    assert (found.share, found.num_empty, found.trained, found.drawn) == (1, 0, (2,), (1,))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sampling": {"rule": "strict-fairness"}},
        {"sampling": {"rule": "sandwich", "num_random": 1}},
        {"sampling": {"rule": "cost-bins", "minimum": 5488, "maximum": 6496, "num_bins": 3}},
        {"sampling": {"rule": "cost-range", "maximum": 6200}},
        {"sampling": {"schedule": SCHEDULE}},
        {"sampling": {"rule": "sandwich", "widen": {"pattern": "block1.*", "from_epoch": 3}}},
        {"sampling": {"schedule": SCHEDULE}, "phases": [{"epochs": 1}, {"epochs": 6}]},
    ],
    ids=lambda settings: "-".join(map(str, settings.get("sampling", {"uniform": 0}))),
)
def test_the_paths_are_those_that_were_trained(trained, monkeypatch, space, settings):
    drawn = []
    own = DrawRecord.add

    def add(record, draw):
        drawn.append(draw.paths)
        own(record, draw)

    monkeypatch.setattr(DrawRecord, "add", add)
    training = Training.read(trained(**settings))
    assert list(training.checked_steps()) == drawn
    found = cover(training, {}, 50, 0)
    assert found.num_steps == len(drawn)
    assert found.num_paths == sum(map(len, drawn))
    # Costs of the very paths, the dearest and cheapest of them at the ends.
    ops = [CostMeter(space)(path)["ops"] for paths in drawn for path in paths]
    assert found.costs["ops"].minimum == min(ops)
    assert found.costs["ops"].maximum == max(ops)
    assert sum(found.costs["ops"].trained) == len(ops)
    assert found.kept == 1


def test_paths_that_are_not_those_recorded_are_refused(trained):
    training = Training.read(trained())
    with pytest.raises(UserError, match="cannot be drawn once more: choice .* use what made .*3"):
        list(replace(training, seed=6).checked_steps())
    counts = {name: dict(by) for name, by in training.recorded.items()}
    counts["block1.spatial"]["4"] += 1
    times = counts["block1.spatial"]["4"]
    with pytest.raises(
        UserError,
        match=f"choice 4 of block1.spatial comes {times - 1} times, and was updated {times} times",
    ):
        cover(replace(training, recorded=counts), {}, 10, 0)


def test_a_summary_without_counts_is_refused(supernet_run):
    with pytest.raises(UserError, match="has no update_counts"):
        cover_run(supernet_run)


def test_choices_that_were_never_updated_come_first(trained):
    found = cover_run(trained(sampling={"schedule": SCHEDULE}))
    assert found.never_updated == {
        "block1.spatial": ["2", "4"], "block2.spatial": ["2"], "block3.spatial": ["2", "4"],
    }  # fmt: skip
    assert found.updates["block1.spatial"] == {"1": 40, "2": 0, "4": 0}  # 10 epochs of 4 steps
    said = found.as_dict()["updates"]["block1.spatial"]
    assert (said["fewest"], said["most"], said["ratio"]) == (0, 40, None)
    lines = found.table().split("\n\n")[1].splitlines()
    assert lines[0].startswith("never updated") and lines[0].endswith(
        "block1.spatial 2, 4; block2.spatial 2; block3.spatial 2, 4"
    )
    # One group in block1 and block3 alone: far from the space's cheapest.
    assert found.costs["ops"].share < 1 and found.costs["ops"].num_empty > 0


def test_fair_paths_have_a_ratio_of_one(trained):
    found = cover_run(trained(sampling={"rule": "strict-fairness"})).as_dict()
    assert found["never_updated"] == {}
    # 3 paths a step, a third of them each choice: 10 x 4 of each.
    for said in found["updates"].values():
        assert said == {"counts": {"1": 40, "2": 40, "4": 40}, "fewest": 40, "most": 40, "ratio": 1}


def test_limits_are_counted_over_paths(trained, space: SearchSpace):
    run = trained()
    measure = CostMeter(space)
    ops = Counter(measure(a)["ops"] for paths in Training.read(run).steps() for a in paths)
    limit = sorted(ops.elements())[19]
    found = cover_run(run, {"max_ops": limit})
    assert found.kept == sum(n for value, n in ops.items() if value <= limit) / 40
    assert "of the trained paths" in found.table()
    with pytest.raises(UserError, match="--limit max_latency_ms: expected max_ or min_ of ops"):
        cover_run(run, {"max_latency_ms": 3})


def test_a_search_brings_its_limits_and_its_supernet(trained, space, tmp_path, factory):
    supernet, run = trained(), tmp_path / "search"
    settings = {
        "population": 4, "parents": 2, "mutations": 2, "crossovers": 1, "evaluations": 4,
        "feasibility_samples": 60, "max_ops": 6_200,
    }  # fmt: skip
    stage = SearchStage(space=space.describe(), search=settings, seed=2)
    run_search(stage, run, supernet, scorer_factory=factory)
    found = cover_run(run)
    # The very draws and numbers that the search looked at.
    assert found.feasibility.as_dict() == json.loads((run / "feasibility.json").read_text())
    assert 0 < found.kept < 1
    assert sum(found.costs["ops"].drawn) == 60
    assert cover_run(run, {"max_ops": 1e9}).kept == 1
    save_weights(supernet / "supernet.safetensors", {"weight": torch.ones(1)})
    with pytest.raises(UserError, match="was trained anew since"):
        cover_run(run)
    save_weights(supernet / "phase1.safetensors", {"weight": torch.zeros(1)})
    assert cover_run(run) == found  # of a training in phases
    supernet.rename(tmp_path / "moved")
    with pytest.raises(UserError, match="supernet is not there"):
        cover_run(run)


def test_limits_on_latency_are_named_as_left_out(trained):
    found = cover(Training.read(trained()), {"max_ops": 1e9}, 10, 0, ("max_latency_ms",))
    assert isinstance(found, Coverage) and found.kept == 1
    assert found.as_dict()["limits_left_out"] == ["max_latency_ms"]
    assert "not counted here: max_latency_ms" in found.table()


def test_the_report_is_json(trained):
    found = cover_run(trained(sampling={"rule": "sandwich"}))
    said = json.loads(json.dumps(found.as_dict()))
    assert set(said) == {"space", "limits_left_out", "never_updated", "updates", "trained"}
    # A sandwich trains both ends: the whole range, in four paths a step.
    assert said["trained"]["paths"] == 4 * said["trained"]["steps"] == 160
    ops = said["trained"]["costs"]["ops"]
    assert ops["share_of_range"] == 1
    assert len(ops["bins"]["edges"]) == 11 and len(ops["bins"]["trained"]) == 10
    assert ops["minimum"] == said["space"]["costs"]["ops"]["minimum"]
    assert ops["bins_without_path"] == ops["bins"]["trained"].count(0)

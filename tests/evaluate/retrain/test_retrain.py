"""Retraining: baselines under the limits, pairing, parallel equals serial, resume, statistics."""

import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import stdev

import pytest

from evaluate.estimate.run import estimate
from evaluate.retrain.baselines import analytic_costs, random_baselines, uniform_baselines
from evaluate.retrain.comparison import Comparison, compare
from evaluate.retrain.config import RetrainStage
from evaluate.retrain.jobs import _how_far
from evaluate.retrain.report import report, told
from evaluate.retrain.run import prepare, retrain
from evaluate.retrain.spread import mean_and_interval, spread
from supernet.architecture_file import save_architecture
from supernet.costs import cost
from supernet.costs.limits import limits_from
from supernet.files import UserError
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spec import BinaryUnitSpec
from tests.latency_tables.group_table import save_group_table
from training.data import open_training_data
from training.network_training import WEIGHTS, TrainingJob
from training.run_files.folder import RunFolder
from training.run_files.progress import PROGRESS_FILE, Progress


def stage_of(stages: dict, **fields: object) -> RetrainStage:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    return RetrainStage(**sections, retrain={**stages["retrain"], **fields})


def best_file(
    folder: Path,
    space: MobileNetGroups,
    limit: float | None = None,
    groups: int = 2,
    **provenance: object,
) -> Path:
    limits = {} if limit is None else {"max_ops": limit}
    path = folder / f"best-{groups}.json"
    save_architecture(
        path, space, space.uniform(groups), provenance={"limits": limits, **provenance}
    )
    return path


def names(comparison: Comparison) -> list[list[str]]:
    return [[role.name for role in entry.roles] for entry in comparison.entries]


def ops(space: MobileNetGroups, groups: int) -> float:
    return cost(space.decode(space.uniform(groups))).ops


def test_baselines_keep_the_limits(tiny_space: MobileNetGroups) -> None:
    most = ops(tiny_space, 2)
    limits = limits_from({"max_ops": most})
    uniform = uniform_baselines(tiny_space, limits, 5, analytic_costs)
    assert list(uniform) == ["uniform g=2", "uniform g=4"]  # dearest first, g=1 too dear
    drawn = random_baselines(tiny_space, limits, 3, 0, analytic_costs)
    assert len(set(drawn.values())) == 3
    for architecture in (*uniform.values(), *drawn.values()):
        assert cost(tiny_space.decode(architecture)).ops <= most
    assert drawn == random_baselines(tiny_space, limits, 3, 0, analytic_costs)
    with pytest.raises(UserError, match="found 1 of 2 random architectures"):
        tight = limits_from({"max_ops": ops(tiny_space, 4)})
        random_baselines(tiny_space, tight, 2, 0, analytic_costs)


def test_uniform_takes_the_largest_legal_choice() -> None:
    space = MobileNetGroups(image_size=32, classes=10, width=0.25)
    chosen = space.uniform(16)
    assert [chosen[f"block{n}.spatial"] for n in (1, 2, 3, 13)] == [8, 16, 16, 16]
    names = list(space.uniform_architectures())
    assert names == [f"uniform g={g}" for g in (1, 2, 4, 8, 16, 32)]


def test_an_architecture_that_recurs_is_trained_once(tiny_space: MobileNetGroups) -> None:
    made = compare(tiny_space, [(tiny_space.uniform(1), {})], uniform=1, random=0, seed=0)
    assert names(made) == [["finalist", "uniform g=1"]]
    assert made.entries[0].kind == "finalist"


def test_each_finalist_has_the_baselines_of_its_own_limits(tiny_space: MobileNetGroups) -> None:
    tight, loose = ops(tiny_space, 4), ops(tiny_space, 2)
    finalists = [
        (tiny_space.uniform(2), {"max_ops": loose}),
        (tiny_space.uniform(4), {"max_ops": tight}),
        (tiny_space.uniform(1), {"max_ops": loose}),
    ]
    made = compare(tiny_space, finalists, uniform=1, random=0, seed=0)
    at_tight, at_loose = (f"(max_ops {limit:,.10g})" for limit in (tight, loose))
    assert names(made) == [
        [f"finalist 1 {at_loose}", f"uniform g=2 {at_loose}"],
        [f"finalist 2 {at_tight}", f"uniform g=4 {at_tight}"],
        [f"finalist 3 {at_loose}"],
    ]
    assert [(one.limits, one.num_uniform) for one in made.limit_sets] == [
        ({"max_ops": loose}, 2),
        ({"max_ops": tight}, 1),
    ]
    (warning,) = made.warnings(tiny_space)
    assert warning.startswith(f"finalist 3 {at_loose} is outside its limits: ops ")
    given = compare(tiny_space, finalists, uniform=1, random=0, seed=0, limits={"max_ops": tight})
    assert [one.limits for one in given.limit_sets] == [{"max_ops": tight}]


def test_more_finalists_than_99(tiny_space: MobileNetGroups) -> None:
    none: dict[str, float] = {}
    finalists = [(tiny_space.uniform(1), none)] * 99 + [(tiny_space.uniform(2), none)]
    made = compare(tiny_space, finalists, uniform=0, random=0, seed=0)
    assert names(made)[1] == ["finalist 100"]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_opz": 1e9}, "retrain.limits: no limit 'max_opz'; did you mean 'max_ops'"),
        ({"foo_ops": 1e9}, "retrain.limits: no limit 'foo_ops'"),
        ({"max_ops": float("inf")}, "max_ops is inf: expected a finite number"),
    ],
)
def test_wrong_limits_are_refused(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict, limits: dict, expected: str
) -> None:
    best = best_file(tmp_path, tiny_space)
    with pytest.raises(UserError, match=expected):
        retrain(stage_of(stages, limits=limits), [best], tmp_path / "run")
    with pytest.raises(UserError, match=expected):
        estimate(stage_of(stages, limits=limits), tmp_path / "run", architectures=[best])
    assert not (tmp_path / "run").exists()


def test_unknown_limits_of_a_file_are_refused(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    best = best_file(tmp_path, tiny_space, limits={"max_energy_mj": 3})
    with pytest.raises(UserError, match=r"best-2.json: provenance.limits .*'max_energy_mj'"):
        prepare(stage_of(stages), [best])
    assert prepare(stage_of(stages, limits={}), [best]).comparison.limit_sets[0].limits == {}


def test_limits_on_latency_need_the_table(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    best = best_file(tmp_path, tiny_space, limits={"max_latency_ms": 10})
    with pytest.raises(UserError, match="set retrain.latency_table"):
        prepare(stage_of(stages), [best])
    # A layer takes as many milliseconds as it has groups; stem and head take none to speak of.
    table = save_group_table(tmp_path / "t.csv", tiny_space)
    stage = stage_of(stages, latency_table=table, random=3)
    comparison = prepare(stage, [best]).comparison
    for entry in comparison.entries[1:]:
        spec = tiny_space.decode(entry.architecture)
        found = sum(block.groups for block in spec.blocks if isinstance(block, BinaryUnitSpec))
        assert found <= 10
        assert comparison.costs_of(spec)["latency_ms"] == pytest.approx(found, abs=0.01)


def test_architectures_of_other_splits_are_refused(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    stage = stage_of(stages)
    splits = open_training_data(stage.data).manifest()["splits"]
    hashes = {name: splits[name]["sha256"] for name in ("train", "search")}
    prepare(stage, [best_file(tmp_path, tiny_space, splits=hashes)])
    for wrong in ({**hashes, "search": "0"}, {"train": hashes["train"]}):
        best = best_file(tmp_path, tiny_space, splits=wrong)
        with pytest.raises(UserError, match=r"best-2.json: was found on other .*the search split"):
            retrain(stage, [best], tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("section", "changed", "expected"),
    [
        ("retrain", {"batch_size": 500}, "batch_size 500 is larger"),
        ("space", {"classes": 5}, "space.classes is 5"),
        ("data", {"name": "nowhere.py:read"}, "nowhere"),
    ],
)
def test_a_refusal_leaves_no_folder(
    tmp_path: Path, stages: dict, section: str, changed: dict, expected: str
) -> None:
    stages[section] = {**stages[section], **changed}
    with pytest.raises(UserError, match=expected):
        retrain(stage_of(stages), [], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_estimate_counts_the_given_files(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    files = [best_file(tmp_path, tiny_space, groups=groups) for groups in (2, 4)]
    stage = stage_of(stages, uniform=1, random=0, seeds=3)
    assert estimate(stage, tmp_path / "run", architectures=files)["networks"] == 3 * 3
    outside = best_file(tmp_path, tiny_space, limit=ops(tiny_space, 4))
    made = estimate(stage, tmp_path / "run", architectures=[outside])
    assert made["networks"] == 2 * 3 and len(made["warnings"]) == 1
    assert estimate(stage, tmp_path / "run")["networks"] == 2 * 3


@pytest.mark.ray
@pytest.mark.usefixtures("ray")
def test_on_ray_equals_one_after_another(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    best = best_file(tmp_path, tiny_space)
    # Threads that are not given are one in a worker, so they must be one here.
    serial = retrain(stage_of(stages, threads=None), [best], tmp_path / "serial")
    parallel = retrain(stage_of(stages, workers=2, threads=None), [best], tmp_path / "parallel")
    assert serial == parallel
    weights = sorted((tmp_path / "serial").glob("networks/*/network.safetensors"))
    assert len(weights) == 6
    for path in weights:
        other = tmp_path / "parallel" / path.relative_to(tmp_path / "serial")
        assert path.read_bytes() == other.read_bytes()
    again = stage_of(stages, workers=0, threads=None)
    assert retrain(again, [best], tmp_path / "parallel") == parallel


@pytest.mark.ray
@pytest.mark.usefixtures("ray")
def test_the_driver_tells_how_far_the_workers_are(
    tmp_path: Path,
    tiny_space: MobileNetGroups,
    stages: dict,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("evaluate.retrain.jobs.SECONDS_BETWEEN_REPORTS", 0.02)
    # 160 images / 16 = 10 steps an epoch, 10 epochs; a progress file is written after 50 steps.
    few = stage_of(stages, workers=2, epochs=10, seeds=2, uniform=0, random=0, compile="off")
    best = best_file(tmp_path, tiny_space)
    retrain(few, [best], tmp_path / "run")
    told = [line for line in capsys.readouterr().err.splitlines() if " done; " in line]
    one = rf"{tiny_space.uniform(2).id}-seed\d (starting|trained|\d+/100 \(\d+%\))"
    assert told[0].startswith("retrain: 0/2 done; ")
    assert all(re.fullmatch(rf"retrain: [01]/2 done; {one}(, {one})?", line) for line in told)
    assert any("/100 (" in line for line in told)


def test_what_is_told_of_a_network(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    job = TrainingJob(
        "a-seed0",
        tiny_space.describe(),
        dict(tiny_space.uniform(2)),
        stage_of(stages).data,
        stage_of(stages).retrain,
        seed=0,
        compile=True,
        folder=tmp_path,
    )
    assert _how_far(job) == "a-seed0 starting"
    with Progress("a-seed0", 1688, 0, tmp_path) as progress:
        assert _how_far(job) == "a-seed0 compiling"
        assert _how_far(replace(job, compile=False)) == "a-seed0 starting"
        progress.advance(450)
        assert _how_far(job) == "a-seed0 450/1688 (27%)"
    (tmp_path / PROGRESS_FILE).write_text("{")
    assert _how_far(job) == "a-seed0 starting"
    (tmp_path / WEIGHTS).touch()
    assert _how_far(job) == "a-seed0 trained"


def test_threads_not_given_are_one(
    tmp_path: Path,
    tiny_space: MobileNetGroups,
    stages: dict,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int | None] = []
    monkeypatch.setattr("evaluate.retrain.jobs.set_threads", asked.append)
    monkeypatch.setattr("evaluate.retrain.trainings.set_threads", asked.append)
    monkeypatch.setattr("training.network_training.set_threads", asked.append)
    few = stage_of(stages, threads=None, epochs=1, seeds=1, uniform=0, random=0)
    retrain(few, [best_file(tmp_path, tiny_space)], tmp_path / "run")
    assert asked and set(asked) == {1}


def test_an_interrupted_retraining_goes_on(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    best = best_file(tmp_path, tiny_space)
    whole = retrain(stage_of(stages), [best], tmp_path / "run")
    folder = RunFolder(tmp_path / "run", "retrain")
    folder.record("summary", None)
    network = sorted((tmp_path / "run" / "networks").iterdir())[0]
    (network / "network.safetensors").unlink()
    (network / "test_score.json").unlink()
    kept = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "run" / "networks").glob("*/network.safetensors")
    }
    assert retrain(stage_of(stages), [best], tmp_path / "run") == whole
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_report_of_a_run(tmp_path: Path, tiny_space: MobileNetGroups, stages: dict) -> None:
    best = best_file(tmp_path, tiny_space, limit=ops(tiny_space, 2))
    with pytest.raises(UserError, match="not a run folder"):
        report(tmp_path / "run")
    retrain(stage_of(stages, epochs=4, random=2), [best], tmp_path / "run")
    made = report(tmp_path / "run")
    finalist, *drawn = made.rows
    # The finalist is the only uniform network asked for: it is said, and compared with no other.
    assert [role["name"] for role in finalist["roles"]] == ["finalist", "uniform g=2"]
    assert made.notes == ["uniform g=2 is the finalist itself"]
    assert [row["kind"] for row in drawn] == ["random", "random"]
    assert [one["baseline"] for one in made.differences] == ["the mean of 2 random networks"]
    assert finalist["top1_mean"] > 30, "chance is 25 % of four classes"
    document = json.loads((tmp_path / "run" / "report.json").read_text())
    assert document == json.loads(json.dumps(made.as_dict()))
    assert f"| finalist | {finalist['top1_mean']:.2f}" in made.markdown
    assert "- uniform g=2 is the finalist itself\n" in made.markdown
    for difference in made.differences:
        assert difference["seeds"] == 2 and difference["half_width"] >= 0
        assert difference["std"] >= 0 and f"± {difference['half_width']:.2f}" in made.markdown
    assert all("right" not in row for row in document["networks"])


def finished(folder: Path, limit_sets: list, roles: dict[str, list], **more: object) -> Path:
    """A finished run of networks whose top-1 grow by one from 50, by the roles of each."""
    stage = RunFolder.open(folder, "retrain", {"data": {"name": "bars"}})
    networks = [
        {
            "name": of_one[0][0],
            "kind": of_one[0][1],
            "roles": [dict(zip(("name", "kind", "limits"), one, strict=True)) for one in of_one],
            "choices": {},
            "test_top1": [50.0 + n, 51.0 + n],
            "test_top5": [100.0, 100.0],
            "costs": {**dict.fromkeys(("flops", "bops", "parameters", "bits"), 1), "ops": 10,
                      "binary_parameters": 1},
            "networks": [],
        }
        for n, of_one in enumerate(roles.values())
    ]  # fmt: skip
    stage.finish({"limit_sets": limit_sets, "epochs": 1, "networks": networks, **more})
    return folder


def test_report_compares_under_the_limits_of_each_finalist(tmp_path: Path) -> None:
    limit_sets = [
        {"limits": {"max_ops": 9}, "num_uniform": 2},
        {"limits": {"max_ops": 20}, "num_uniform": 2},
    ]
    roles = {
        "a": [("finalist 1", "finalist", 0)],
        "b": [("finalist 2", "finalist", 1), ("uniform g=1", "uniform", 1)],
        "c": [("uniform g=4", "uniform", 0), ("uniform g=4 too", "uniform", 1)],
        "d": [("random 1", "random", 1)],
    }
    made = report(finished(tmp_path / "run", limit_sets, roles))
    found = {(one["finalist"], one["baseline"]): one["mean"] for one in made.differences}
    assert found == {
        ("finalist 1", "uniform g=4 (the best uniform network trained)"): -2,
        ("finalist 2", "uniform g=4 too (the best other uniform network)"): -1,
        ("finalist 2", "the mean of 1 random network (max_ops 20)"): -2,
    }
    assert made.notes == [
        "finalist 1 is outside its limits: ops 10 is above max_ops 9",
        "uniform g=1 is finalist 2 itself",
    ]
    assert "under its own limits: max_ops 9; or max_ops 20." in made.markdown


def test_report_of_a_run_that_recorded_one_set_of_limits(tmp_path: Path) -> None:
    roles = {"a": [("finalist", "finalist", 0)], "b": [("uniform g=1", "uniform", 0)]}
    folder = RunFolder(finished(tmp_path / "run", [], roles, limits={}), "retrain")
    summary = folder.summary or {}
    networks = [{**one, "roles": None} for one in summary["networks"]]
    folder.record("summary", {**summary, "networks": networks})
    (difference,) = report(tmp_path / "run").differences
    assert difference["baseline"] == "uniform g=1 (the best uniform network trained)"


def test_mean_and_interval() -> None:
    # Five values, t(4) = 2.776.
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    mean, half_width = mean_and_interval(values)
    assert mean == 3 and half_width == pytest.approx(2.776 * stdev(values) / 5**0.5)
    assert mean_and_interval([2.0]) == (2.0, None) and spread([2.0]) is None
    assert mean_and_interval(values[:4]) == (2.5, None)  # Student's t says little of so few


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ((1.5, 0.5, 0.2, 2), "+1.50 points ± 0.50 (2 seeds; their differences spread by 0.20)"),
        ((-0.3, 0.5, None, 1), "-0.30 points ± 0.50, no evidence of a difference (one seed: "),
        ((-2.0, None, 0.1, 3), "-2.00 points (3 seeds; their differences spread by 0.10)"),
    ],
)
def test_a_difference_in_words(difference: tuple, words: str) -> None:
    assert told(
        dict(zip(("mean", "half_width", "std", "seeds"), difference, strict=True))
    ).startswith(words)

"""Retraining: baselines under the limits, pairing, parallel equals serial, resume, statistics."""

import json
from pathlib import Path
from statistics import stdev

import pytest

from evaluate.baselines import random_baselines, uniform_baselines, within
from evaluate.report import report
from evaluate.retrain import RetrainStage, comparison, retrain
from evaluate.statistics import mean_and_interval, spread
from supernet.architecture_file import save_architecture
from supernet.costs import cost
from supernet.files import UserError
from supernet.spaces.mobilenet_groups import MobileNetGroups


def stage_of(stages: dict, **fields: object) -> RetrainStage:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    return RetrainStage(**sections, retrain={**stages["retrain"], **fields})


def best_file(folder: Path, space: MobileNetGroups, limit: float | None = None) -> Path:
    limits = {} if limit is None else {"max_ops": limit}
    path = folder / "best.json"
    save_architecture(path, space, space.uniform(2), provenance={"limits": limits})
    return path


def ops(space: MobileNetGroups, groups: int) -> float:
    return cost(space.decode(space.uniform(groups))).ops


def test_baselines_keep_the_limits(tiny_space: MobileNetGroups) -> None:
    limits = {"max_ops": ops(tiny_space, 2)}
    uniform = uniform_baselines(tiny_space, limits, 5)
    assert list(uniform) == ["uniform g=2", "uniform g=4"]  # dearest first, g=1 too dear
    drawn = random_baselines(tiny_space, limits, 3, seed=0)
    assert len(set(drawn.values())) == 3
    for architecture in (*uniform.values(), *drawn.values()):
        assert cost(tiny_space.decode(architecture)).ops <= limits["max_ops"]
    assert drawn == random_baselines(tiny_space, limits, 3, seed=0)
    assert not within(tiny_space, tiny_space.uniform(4), {"min_ops": limits["max_ops"]})
    with pytest.raises(UserError, match="found 1 of 2 random architectures"):
        random_baselines(tiny_space, {"max_ops": ops(tiny_space, 4)}, 2, seed=0)


def test_uniform_takes_the_largest_legal_choice() -> None:
    space = MobileNetGroups(image_size=32, classes=10, width=0.25)
    chosen = space.uniform(16)
    assert [chosen[f"block{n}.spatial"] for n in (1, 2, 3, 13)] == [8, 16, 16, 16]
    names = list(space.uniform_architectures())
    assert names == [f"uniform g={g}" for g in (1, 2, 4, 8, 16, 32)]


def test_an_architecture_that_recurs_is_trained_once(
    tiny_space: MobileNetGroups, stages: dict
) -> None:
    entries = comparison(tiny_space, [tiny_space.uniform(1)], stage_of(stages, random=0), {})
    assert [entry.name for entry in entries] == ["finalist"]


@pytest.mark.ray
def test_on_ray_equals_one_after_another(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    best = best_file(tmp_path, tiny_space)
    serial = retrain(stage_of(stages), [best], tmp_path / "serial")
    parallel = retrain(stage_of(stages, workers=2), [best], tmp_path / "parallel")
    assert serial == parallel
    assert retrain(stage_of(stages, workers=0), [best], tmp_path / "parallel") == parallel


def test_an_interrupted_retraining_goes_on(
    tmp_path: Path, tiny_space: MobileNetGroups, stages: dict
) -> None:
    from training.run_folder import RunFolder

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
    finalist, uniform, *drawn = made.rows
    # The finalist is uniform g=2 itself, so that the uniform baseline is the next: g=4.
    assert [finalist["name"], uniform["name"], len(drawn)] == ["finalist", "uniform g=4", 2] or (
        uniform["kind"] == "random"
    )
    assert finalist["top1_mean"] > 30, "chance is 25 % of four classes"
    document = json.loads((tmp_path / "run" / "report.json").read_text())
    assert document == json.loads(json.dumps(made.as_dict()))
    assert f"| finalist | {finalist['top1_mean']:.2f}" in made.markdown
    for difference in made.differences:
        assert difference["seeds"] == 2 and difference["half_width"] >= 0


def test_mean_and_interval() -> None:
    # Five values, t(4) = 2.776.
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    mean, half_width = mean_and_interval(values)
    assert mean == 3 and half_width == pytest.approx(2.776 * stdev(values) / 5**0.5)
    assert mean_and_interval([2.0]) == (2.0, None) and spread([2.0]) is None

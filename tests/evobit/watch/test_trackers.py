"""`evobit watch --to`: what a tracker gets of a log; and real trackers where they are installed."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from evobit.commands.watch import To
from evobit.main import run
from evobit.watch.mapping import Point, numbers_of, parameters_of, point_of
from evobit.watch.trackers import TRACKERS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            {"time": 7.5, "event": "train", "name": "supernet", "step": 50, "loss": 2.5},
            Point(50, {"supernet/loss": 2.5}, 7.5),
        ),
        (
            {"time": 7.5, "event": "generation", "generation": 0, "best_top1": 80.0, "failed": 0},
            Point(0, {"generation/best_top1": 80.0, "generation/failed": 0.0}, 7.5),
        ),
        (
            {
                "index": 3,
                "generation": 1,
                "architecture": {"a": 4},
                "costs": {"ops": 9},
                "top1": 81.0,
            },
            Point(
                3, {"candidate/architecture.a": 4, "candidate/costs.ops": 9, "candidate/top1": 81}
            ),
        ),
        (
            {"index": 3, "top1": None, "failure": "no memory", "costs": {"ops": float("nan")}},
            None,
        ),
        (
            {"time": 9.0, "event": "network", "name": "ab-seed0", "top1": 79.5},
            Point(0, {"ab-seed0/score/top1": 79.5}, 9.0),
        ),
        ({"time": 9.0, "event": "started", "threads": 1, "compiled": True}, None),
        ({"time": 9.0, "event": "finished", "step": 1, "ops": 5}, None),
    ],
)
def test_a_line_becomes_a_point(line: dict, expected: Point | None) -> None:
    assert point_of(line) == expected


def test_names_of_numbers_and_parameters() -> None:
    document = {"a": {"b": 1, "c": "x", "d": [1, 2]}, "e": True, "f": float("inf"), "g": 2.5}
    assert numbers_of(document) == {"a.b": 1.0, "g": 2.5}
    assert parameters_of(document)["a.d"] == "[1, 2]"
    assert point_of({"event": "train", "name": "s", "step": 1, "loss": 2}, "fair/") == Point(
        1, {"fair/s/loss": 2.0}
    )


def test_the_command_offers_every_tracker() -> None:
    assert set(TRACKERS) == {to.value for to in To}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, bars: Path) -> Path:
    """A supernet, a search and a retraining that ended."""
    folder = tmp_path_factory.mktemp("trackers")
    space = {"name": "mobilenet-groups", "image_size": 8, "classes": 4, "in_channels": 1}
    space |= {"width": 0.25, "stem_stride": 1, "groups": [1, 2], "blocks": [[64, 1], [128, 1]]}
    common = {"batch_size": 16, "tensorboard": False, "threads": 1, "compile": "off"}
    scoring = {"calibration_images": 64, "calibration_batch": 32, "batch_size": 16}
    search = {"population": 3, "parents": 2, "mutations": 1, "crossovers": 1, "generations": 1}
    config = {
        "space": space,
        "data": {"name": f"{bars}:read", "image_size": 8, "search_fraction": 0.2},
        "supernet": {"epochs": 7, **common},
        "search": {**search, "feasibility_samples": 20, "scoring": scoring},
        "retrain": {"epochs": 7, "seeds": 1, "uniform": 1, "random": 0, **common},
        "seed": 3,
    }
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(config))
    for stage in ("supernet", "search", "retrain"):
        command = {"supernet": "train-supernet"}.get(stage, stage)
        more = {
            "search": ["--supernet", str(folder / "runs/supernet")],
            "retrain": [str(folder / "runs/search/best.json")],
        }.get(stage, [])
        assert run([command, str(file), *more, "--run", str(folder / "runs" / stage)]) == 0
    return folder / "runs"


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_wrong_input(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setitem(sys.modules, TRACKERS[name].package, None)
    assert run(["watch", str(runs), "--to", name]) == 2
    line = capsys.readouterr().err
    assert f"pip install 'evobit[{name}]'" in line and len(line.splitlines()) == 1


def test_tensorboard_gets_search_and_training(runs: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for _ in range(2):  # the second time in place of the first
        assert run(["watch", str(runs), "--to", "tensorboard"]) == 0
    found = {}
    for stage in ("supernet", "search", "retrain"):
        events = accumulator.EventAccumulator(str(runs / stage / "tensorboard" / "watch"))
        events.Reload()
        found[stage] = {
            name: [(point.step, point.value) for point in events.Scalars(name)]
            for name in events.Tags()["scalars"]
        }
    logged = [
        line for line in lines_of(runs / "supernet" / "log.jsonl") if line["event"] == "train"
    ]
    expected = [(line["step"], pytest.approx(line["loss"])) for line in logged]
    assert found["supernet"]["supernet/loss"] == expected and expected
    history = lines_of(runs / "search" / "history.jsonl")
    assert found["search"]["candidate/top1"] == [
        (line["index"], pytest.approx(line["top1"])) for line in history
    ]
    assert "generation/best_top1" in found["search"]
    assert any(name.endswith("-seed0/loss") for name in found["retrain"])
    assert any(name.endswith("-seed0/score/top1") for name in found["retrain"])


def test_mlflow_gets_all(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert run(["watch", str(runs), "--to", "mlflow"]) == 0
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("evobit")
    assert experiment is not None
    found = {made.info.run_name: made for made in client.search_runs([experiment.experiment_id])}
    assert set(found) == {"supernet", "search", "retrain"}
    search = found["search"]
    assert search.info.status == "FINISHED" and search.data.params["search.population"] == "3"
    history = lines_of(runs / "search" / "history.jsonl")
    top1 = client.get_metric_history(search.info.run_id, "candidate/top1")
    assert sorted((one.step, one.value) for one in top1) == [
        (line["index"], line["top1"]) for line in history
    ]
    files = {one.path for one in client.list_artifacts(search.info.run_id)}
    assert files >= {"summary.json", "best.json"}


def test_wandb_gets_all_offline(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    assert run(["watch", str(runs / "search"), "--to", "wandb"]) == 0
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = file.read_bytes()
    for part in (b"candidate/top1", b"generation/best_top1", b"search.population"):
        assert part in content

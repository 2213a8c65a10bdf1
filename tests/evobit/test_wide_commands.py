"""Spaces whose networks are cut from the largest one, through every command, for real."""

import json
from pathlib import Path

import pytest
import yaml

from evobit.main import run
from training.supernet_training import SupernetTraining

WIDE = {
    "name": "wide-binary",
    "image_size": 8,
    "classes": 4,
    "in_channels": 1,
    "stem_channels": 8,
    "stem_stride": 1,
    "stages": [[16, 1, 1], [32, 2, 2]],
    "widths": [0.5, 1.0],
    "groups": [1, 2, 4],
}
PRUNED = {
    "name": "metapruning",
    "image_size": 8,
    "classes": 4,
    "in_channels": 1,
    "width": 0.125,
    "stem": "small",
    "percents": [25, 50, 100],
}
SANDWICH = {"rule": "sandwich", "teacher_is_real": True}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, space, sharing in (
        ("wide", WIDE, "sliced"),
        ("pruned", PRUNED, "sliced"),
        ("generated", PRUNED, "generated"),
    ):
        supernet = {**stages["supernet"], "epochs": 1, "sharing": sharing}
        if name == "wide":
            supernet["sampling"] = SANDWICH
        text = yaml.safe_dump({**stages, "space": space, "supernet": supernet})
        Path(f"{name}.yaml").write_text(text)
    return tmp_path


def retrained(capsys: pytest.CaptureFixture[str], name: str, limit: str) -> Path:
    """The finalist's network file after every stage up to its retraining."""
    assert run(["train-supernet", f"{name}.yaml"]) == 0
    assert run(["search", f"{name}.yaml", "--set", limit]) == 0
    assert run(["export", f"runs/{name}-search", "-o", "best.json"]) == 0
    capsys.readouterr()
    assert run(["cost", "best.json", "--verify", "--json"]) == 0
    costs = json.loads(capsys.readouterr().out)
    assert costs.pop("verified") and costs == json.loads(Path("best.json").read_text())["costs"]
    words = ["retrain", f"{name}.yaml", "best.json", "--set", "retrain.seeds=1"]
    assert run([*words, "--set", "retrain.epochs=1"]) == 0
    summary = json.loads(Path(f"runs/{name}-retrain/manifest.json").read_text())["summary"]
    found = next(row for row in summary["networks"] if row["kind"] == "finalist")
    return Path(f"runs/{name}-retrain") / found["networks"][0] / "network.safetensors"


def test_a_wide_network_is_found_and_packed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = retrained(capsys, "wide", "search.max_ops=30000")
    assert run(["pack", str(network), "-o", "m.evobit"]) == 0
    assert run(["bench", "m.evobit"]) == 0


@pytest.mark.parametrize("name", ["pruned", "generated"])
def test_a_pruned_network_is_found_and_refused_by_pack(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    network = retrained(capsys, name, "search.max_flops=150000")
    capsys.readouterr()
    assert run(["pack", str(network), "-o", "m.evobit"]) == 2
    assert "block1" in capsys.readouterr().err
    assert not Path("m.evobit").exists()


def test_a_compiled_run_of_slices_is_refused_before_its_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train-supernet", "wide.yaml", "--set", "supernet.compile=on"]) == 2
    assert "every path has shapes of its own" in capsys.readouterr().err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("wide", ["supernet.optimiser={bop: {gamma: 0.001}}"], "Bop has no real weights"),
        ("wide", ["space.activation=none"], "without activation are linear"),
        ("wide", ["supernet.sharing=independent"], "makes all paths alike"),
        ("wide", ["supernet.sampling={rule: uniform, cost: flops}"], "cost is for rule cost-range"),
        ("pruned", ["supernet.optimiser={bop: {gamma: 0.001}}"], "no binary convolution"),
    ],
)
def test_what_has_no_effect_or_no_sense_is_refused_before_its_folder(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    changes: list[str],
    expected: str,
) -> None:
    words = [word for change in changes for word in ("--set", change)]
    assert run(["train-supernet", f"{name}.yaml", *words]) == 2
    assert expected in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_dry_run_counts_every_path_of_a_step(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def counted(training: SupernetTraining) -> float:
        training.begin(1)
        drawn.append(len(training.paths(0)))
        return 1.0

    monkeypatch.setattr("evaluate.estimate.planned_training.rehearse", counted)
    for rule in ("sandwich", "uniform"):
        words = ["--set", f"supernet.sampling={{rule: {rule}}}", "--dry-run", "--json"]
        capsys.readouterr()
        assert run(["train-supernet", "wide.yaml", *words]) == 0
        assert json.loads(capsys.readouterr().out)["time_s"] >= 1.0
    assert drawn == [4, 1]  # largest, smallest, two others; one


def test_generated_weights_have_no_groups(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train-supernet", "wide.yaml", "--set", "supernet.sharing=generated"]) == 2
    assert "generated weights are for channels alone" in capsys.readouterr().err
    assert not Path("runs").exists()

"""A published network through the commands: trained, reported, packed, scored; not searched."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from evobit.main import run

SPACE = {
    "name": "network", "network": "reactnet-a", "image_size": 32, "classes": 4, "in_channels": 1,
    "stem": "small", "width": 0.25,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    """A working folder with a config of a network, and one of a search space."""
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(yaml.safe_dump(stages))
    # No baselines are asked for: 2 uniform and 3 random ones are the defaults.
    retrain = {k: v for k, v in stages["retrain"].items() if k not in ("uniform", "random")}
    data = {**stages["data"], "image_size": 32}
    retrain = {**retrain, "epochs": 1, "batch_size": 40, "checkpoint_seconds": 600}
    stages = {**stages, "space": SPACE, "data": data, "retrain": retrain}
    Path("net.yaml").write_text(yaml.safe_dump(stages))
    return tmp_path


def one_line(capsys: pytest.CaptureFixture[str], expected: str) -> None:
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1 and printed.out == ""


def test_a_network_from_training_to_its_packed_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["retrain", "net.yaml", "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["networks"] == 2 and "warnings" not in planned  # one a seed
    assert not Path("runs").exists()

    assert run(["retrain", "net.yaml", "--json"]) == 0
    printed = capsys.readouterr()
    (row,) = json.loads(printed.out)["networks"]
    assert (row["name"], row["kind"], row["choices"]) == ("reactnet-a", "finalist", {})
    assert "random" not in printed.err and "warning" not in printed.err
    assert len(row["test_top1"]) == 2

    assert run(["report", "runs/net-retrain"]) == 0
    assert "| reactnet-a | " in capsys.readouterr().out
    report = json.loads(Path("runs/net-retrain/report.json").read_text())
    assert report["networks"][0]["top1"] == row["test_top1"]
    assert report["differences"] == [] and report["notes"] == []

    network = str(Path("runs/net-retrain") / row["networks"][0] / "network.safetensors")
    assert run(["evaluate", network, "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["images"] == 40
    assert scored["top1"] == pytest.approx(row["test_top1"][0], abs=1e-3)

    assert run(["pack", network, "-o", "m.evobit", "--images", "32", "--json"]) == 0
    packed = json.loads(capsys.readouterr().out)
    assert packed["untraced"] == 0 and packed["bytes"] < Path(network).stat().st_size / 4
    assert run(["evaluate", "m.evobit", "--against", network, "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["images"] == 40 and compared["against"]["untraced"] == 0

    Image.fromarray(np.zeros((8, 8), np.uint8)).save("black.png")
    assert run(["predict", "m.evobit", "black.png", "--json"]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["predictions"]
    assert {one["class"] for one in shown["top"]} == {"a", "b", "c", "d"}


def test_its_architecture_file_is_counted_and_retrained(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from supernet.architecture_file import save_architecture
    from supernet.spaces import space_from_description

    space = space_from_description(SPACE)
    save_architecture("a.json", space, space.first())
    assert run(["cost", "a.json", "--json"]) == 0
    of_file = json.loads(capsys.readouterr().out)
    options = ["--image-size", "32", "--classes", "4", "--in-channels", "1", "--width", "0.25"]
    assert run(["cost", "--network", "reactnet-a", "--stem", "small", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == of_file
    named = ["cost", "--space", "network", "--set", "network=reactnet-a", "--set", "stem=small"]
    assert run([*named, *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == of_file
    assert run([*named, "--groups", "4"]) == 2
    one_line(capsys, "--groups: space 'network' has one architecture: nothing to choose")

    assert run(["retrain", "net.yaml", "a.json", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"] == 2


@pytest.mark.parametrize("command", ["train-supernet", "search"])
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_nothing_is_searched(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, options: list[str]
) -> None:
    assert run([command, "net.yaml", *options]) == 2
    one_line(capsys, "space 'network' has one architecture: nothing to search; use 'evobit retrain")
    assert not Path("runs").exists()


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_search_space_needs_architecture_files(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert run(["retrain", "space.yaml", *options]) == 2
    one_line(capsys, "space 'mobilenet-groups' has 27 architectures; 'evobit export RUN' writes")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("space.width=0.3", "--set: network 'reactnet-a': width 0.3 makes 9.6 of 32 channels"),
        ("space.network=reactnet", "--set: no network 'reactnet'; did you mean 'reactnet-"),
        ("space.widht=0.5", "did you mean 'space.width'?"),
        ("space.classes=10", "space.classes is 10, but data set"),
    ],
)
def test_wrong_options(
    folder: Path, capsys: pytest.CaptureFixture[str], override: str, expected: str
) -> None:
    assert run(["retrain", "net.yaml", "--set", override]) == 2
    one_line(capsys, expected)
    assert not Path("runs").exists()

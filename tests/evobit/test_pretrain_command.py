"""`evobit pretrain`: from a config to an encoder that `retrain` starts from."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from evobit.main import run
from supernet.architecture_file import save_architecture
from supernet.files import load_weights
from supernet.spaces import space_from_description

Capture = pytest.CaptureFixture[str]
ENCODER = "runs/tiny-pretrain/encoder.safetensors"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    """A working folder with a config and an architecture of its space."""
    monkeypatch.chdir(tmp_path)
    pretrain = {
        "unmix": "v5", "epochs": 2, "batch_size": 16, "queue": 64, "projection": 8,
        "optimiser": {"name": "adam"}, "learning_rate": 0.01, "threads": 1, "tensorboard": False,
    }  # fmt: skip
    Path("tiny.yaml").write_text(yaml.safe_dump({**stages, "pretrain": pretrain}))
    space = space_from_description(stages["space"])
    save_architecture("a.json", space, space.first())
    return tmp_path


def one_line(capsys: Capture, expected: str) -> None:
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1 and printed.out == ""


def test_from_pretraining_to_retraining(folder: Path, capsys: Capture) -> None:
    assert run(["pretrain", "tiny.yaml", "a.json", "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["steps"] == 2 * (128 // 16) and planned["time_s"] >= 0
    assert not Path("runs").exists()

    assert run(["pretrain", "tiny.yaml", "a.json", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["features"] == 32  # 128 channels, width 0.25
    assert summary["search_split"]["images"] == 32

    assert run(["pretrain", "tiny.yaml", "a.json", "--test", "--json"]) == 0
    printed = capsys.readouterr()
    assert "already finished; nothing to do" in printed.err
    tested = json.loads(printed.out)
    of_test = tested.pop("test_split")
    assert of_test["images"] == 40
    manifest = json.loads(Path("runs/tiny-pretrain/manifest.json").read_text())
    assert manifest["test_split"] == of_test
    assert tested == summary

    # So slow that nothing moves: the retrained network has the encoder's weights.
    slow = [f"start_from={ENCODER}", "uniform=0", "random=0", "seeds=1", "epochs=1"]
    slow += ["learning_rate=1e-12"]
    overrides = [word for one in slow for word in ("--set", f"retrain.{one}")]
    assert run(["retrain", "tiny.yaml", "a.json", *overrides, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["networks"]
    trained = Path("runs/tiny-retrain") / row["networks"][0] / "network.safetensors"
    found, begun = load_weights(trained)[0], load_weights(ENCODER)[0]
    assert found.keys() == begun.keys()
    for name in begun:
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(found[name], begun[name], rtol=0, atol=1e-9)


def test_the_head_may_be_another_data_sets(folder: Path, capsys: Capture) -> None:
    """Pre-trained on four classes that do not matter, for a network of seven."""
    document = json.loads(Path("a.json").read_text())
    document["space"]["classes"] = 7
    Path("seven.json").write_text(json.dumps(document))
    assert run(["pretrain", "tiny.yaml", "seven.json", "--set", "space.classes=7"]) == 0
    assert load_weights(ENCODER)[0]["head.linear.weight"].shape[0] == 7
    capsys.readouterr()
    # A network of four classes cannot begin with it, and is told why.
    start = ["--set", f"retrain.start_from={ENCODER}"]
    assert run(["retrain", "tiny.yaml", "a.json", *start, "--run", "four"]) == 2
    assert "head.linear.weight is (7, 32), expected (4, 32)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "expected the architecture file (ARCH.json) to pre-train: space 'mobilenet-groups'"),
        (["a.json", "--set", "pretrain.metod=byol"], "did you mean 'pretrain.method'?"),
        (["a.json", "--set", "pretrain.queue=40"], "must be a multiple of the 16 keys"),
        (["a.json", "--set", "pretrain.method=simclr"], "queue is for method moco or swav, not"),
        (["a.json", "--set", "data.image_size=16"], "space.image_size is 8, but data.image_size"),
        (["b.json"], "architecture file b.json: cannot be read"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_wrong_input(
    folder: Path, capsys: Capture, arguments: list[str], expected: str, options: list[str]
) -> None:
    assert run(["pretrain", "tiny.yaml", *arguments, *options]) == 2
    one_line(capsys, expected)
    assert not Path("runs").exists()


def test_another_architecture_is_another_run(folder: Path, capsys: Capture, stages: dict) -> None:
    assert run(["pretrain", "tiny.yaml", "a.json", "--set", "pretrain.epochs=1"]) == 0
    space = space_from_description(stages["space"])
    other = dict.fromkeys(("block1.spatial", "block2.spatial", "block3.spatial"), 4)
    save_architecture("b.json", space, space.architecture(other))
    capsys.readouterr()
    again = ["--set", "pretrain.epochs=1"]
    assert run(["pretrain", "tiny.yaml", "b.json", *again]) == 2
    assert "was made from another architecture (a.json) than b.json" in capsys.readouterr().err
    assert run(["pretrain", "tiny.yaml", "a.json"]) == 2
    assert "pretrain.epochs was 1, now 2" in capsys.readouterr().err

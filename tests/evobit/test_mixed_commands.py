"""A space of bits through the commands, for real: limits on bit operations, and what is packed."""

import json
from pathlib import Path

import pytest
import yaml

from evobit.main import run
from supernet.architecture_file import load_architecture

TINY = {
    "name": "mixed-precision",
    "network": "resnet18",
    "image_size": 8,
    "classes": 4,
    "in_channels": 1,
    "width": 0.0625,
    "stem": "small",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump({**stages, "space": TINY}))
    return tmp_path


def result(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_whole_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=1"]) == 0
    binary, of_2_bits = (
        result(capsys, ["cost", *named(), "--choices", choice])["bitops"] for choice in "01"
    )
    changes = [f"search.min_bitops={binary + 1}", f"search.max_bitops={of_2_bits}"]
    changes += ["search.searcher=nsga2", "search.objectives=[bitops, bits]"]
    words = [word for change in changes for word in ("--set", change)]
    assert result(capsys, ["search", "tiny.yaml", *words])["evaluations"] == 12
    assert run(["export", "runs/tiny-search", "-o", "best.json"]) == 0
    best = json.loads(Path("best.json").read_text())
    assert binary < best["costs"]["bitops"] <= of_2_bits
    costs = result(capsys, ["cost", "best.json", "--verify"])
    assert costs.pop("verified") and costs == best["costs"]
    words = ["retrain", "tiny.yaml", "best.json", "--set", "retrain.seeds=1"]
    assert run([*words, "--set", "retrain.epochs=1", "--set", "retrain.random=0"]) == 0
    finalist = load_architecture("best.json")[1].id
    (network,) = Path("runs/tiny-retrain/networks").glob(f"{finalist}-*/network.safetensors")
    assert result(capsys, ["evaluate", str(network)])["images"] == 40
    first = next(name for name, choice in best["choices"].items() if choice != "1w1a")
    assert run(["pack", str(network), "-o", "model.evobit"]) == 2
    message = capsys.readouterr().err
    assert f"block '{first}' (QuantisedUnitSpec): there is no packed operation for it" in message
    assert len(message.splitlines()) == 1 and not Path("model.evobit").exists()
    assert run(["report", "runs/tiny-retrain"]) == 0
    assert "| BitOPs |" in capsys.readouterr().out


def named() -> list[str]:
    options = [f"{name}={value}" for name, value in TINY.items() if name != "name"]
    words = [word for option in options for word in ("--set", option)]
    return ["--space", "mixed-precision", *words]


def test_nested_sharing_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.sharing=nested"]) == 2
    assert "block 'stage1_unit1' of space 'mixed-precision' is a choice of" in (
        capsys.readouterr().err
    )

"""`evobit coverage`: after a real training and search, and what is refused."""

import json
from pathlib import Path

import pytest
import yaml

from evobit.main import run


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> None:
    monkeypatch.chdir(tmp_path)
    stages["supernet"] |= {"epochs": 2, "phases": [{"epochs": 1}, {"epochs": 1}]}
    stages["search"]["generations"] = 0
    stages["search"]["max_ops"] = 6_200
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))


def test_coverage_of_a_supernet_and_of_a_search(
    config: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train-supernet", "tiny.yaml"]) == 0
    assert run(["search", "tiny.yaml"]) == 0
    capsys.readouterr()
    assert run(["coverage", "runs/tiny-supernet", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["space"]["limits"] == {} and alone["trained"]["kept"] == 1
    assert alone["trained"]["paths"] == 16  # 128 images / 16 = 8 steps an epoch
    assert run(["coverage", "runs/tiny-search", "--json"]) == 0
    searched = json.loads(capsys.readouterr().out)
    assert searched["space"]["limits"] == {"max_ops": 6_200}
    assert searched["space"]["samples"] == 50
    assert searched["updates"] == alone["updates"]
    assert run(["coverage", "runs/tiny-supernet", "--limit", "max_ops=6200", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["trained"]["kept"] == searched["trained"]["kept"]

    assert run(["coverage", "runs/tiny-search"]) == 0
    text = capsys.readouterr().out
    assert "limits: max_ops 6,200" in text and "of the trained paths" in text
    assert "16 paths in 16 steps" in text and "% in each tenth" in text

    assert run(["coverage", "runs/tiny-search", "--limit", "max_latency_ms=3"]) == 2
    assert "expected max_ or min_ of ops" in capsys.readouterr().err
    assert run(["coverage", "runs/tiny-search", "--limit", "max_ops"]) == 2
    assert "expected NAME=NUMBER" in capsys.readouterr().err


def test_what_is_no_run_is_refused(config: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["coverage", "nowhere"]) == 2
    assert "not a run folder" in capsys.readouterr().err

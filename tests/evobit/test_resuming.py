"""Every stage goes on with other settings that change nothing, to the same results; with no other.

A new mark is tested by itself: the cases are the marked fields of the stages' models.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from docs.generate.schemas import stages as models_of_stages
from evobit.config import load_stage
from evobit.main import run
from evobit.resuming import foretell
from supernet.architecture_file import save_architecture
from supernet.files import load_weights
from supernet.spaces import space_from_description
from training.run_files.folder import RunFolder
from training.run_files.same_run import CHANGES_NOTHING, marked

Capture = pytest.CaptureFixture[str]
STAGES = models_of_stages()
COMMANDS = {
    "supernet": ("train-supernet", "tiny.yaml"),
    "search": ("search", "tiny.yaml"),
    "pretrain": ("pretrain", "tiny.yaml", "a.json"),
    "finals": ("finals", "tiny.yaml"),
    "retrain": ("retrain", "tiny.yaml", "a.json"),
    "audit": ("audit", "tiny.yaml"),
}
PRETRAIN = {
    "unmix": "v5", "epochs": 1, "batch_size": 16, "queue": 64, "projection": 8, "threads": 1,
    "optimiser": {"name": "adam"}, "learning_rate": 0.01, "tensorboard": False, "neighbours": 5,
}  # fmt: skip
SCORING = {"batch_norm": ["running"], "calibration_images": [64], "calibration_batch": 32}
AUDIT = {"networks": 2, "seeds": 1, "epochs": 1, "bootstrap": 10, "top_k": [1], "scoring": SCORING}
FINALS = {"best": 1, "designs": 1, "rungs": [1, 2]}
OTHER_RUNS = [(name, "seed", 4) for name in COMMANDS]
OTHER_RUNS += [(name, f"{name}.threads", 2) for name in COMMANDS if name != "search"]
# A search is of its supernet's images, finals of their search's: others are refused before.
OF_ONE_DRAW = ("search", "finals")
OTHER_RUNS += [(name, "data.split_seed", 7) for name in COMMANDS if name not in OF_ONE_DRAW]
OTHER_RUNS += [("search", "search.scoring.threads", 2), ("search", "search.mutations", 1)]
OF_NO_NUMBER = {
    "retrain": ("retrain.uniform", 7),
    "search.address": ("search.address", "127.0.0.1:1"),
    "search.arrays_at": ("search.arrays_at", "arrays"),
    "search.timeout_s": ("search.timeout_s", 600),
}
"""What is set instead, of fields whose value is no number and no truth value."""
CASES = [
    (name, field) for name, model in STAGES.items() for field in marked(model, CHANGES_NOTHING)
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    """A working folder with a finished run of every stage, made once."""
    if not (made / "runs" / "tiny-audit").exists():
        monkeypatch.chdir(made)
        stages["supernet"]["epochs"] = 2
        stages["retrain"].update(epochs=1, seeds=1, uniform=1, random=0)
        sections = {**stages, "pretrain": PRETRAIN, "finals": FINALS, "audit": AUDIT}
        Path("tiny.yaml").write_text(yaml.safe_dump(sections))
        space = space_from_description(stages["space"])
        save_architecture("a.json", space, space.first())
        for words in COMMANDS.values():
            assert run(list(words)) == 0
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def results(of: Path) -> dict[str, Any]:
    """What a run found: its summary, history and weights."""
    found: dict[str, Any] = {"summary": json.loads((of / "manifest.json").read_text())["summary"]}
    for path in sorted(of.rglob("*.safetensors")):
        found[str(path.relative_to(of))] = load_weights(path)[0]
    for path in (*of.rglob("history.jsonl"), *of.rglob("*_score.json"), *of.glob("audit.json")):
        found[str(path.relative_to(of))] = path.read_text()
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def setting(name: str, field: str) -> list[str]:
    """`--set` with another value of a field than the config's."""
    stage: Any = load_stage("tiny.yaml", STAGES[name])
    value: Any = stage
    for part in field.split("."):
        value = getattr(value, part)
    if field in OF_NO_NUMBER:
        field, value = OF_NO_NUMBER[field]
    else:
        value = not value if isinstance(value, bool) else value + 1
    return ["--set", f"{field}={json.dumps(value)}"]


def interrupt(name: str, of: Path) -> None:
    """Leave the run in the state of one that was stopped half way."""
    RunFolder(of, name).record("summary", None)
    for path in (*of.glob("*.safetensors"), *of.glob("best.json"), *of.glob("audit.json")):
        path.unlink()
    if name == "search":
        lines = (of / "history.jsonl").read_text().splitlines(keepends=True)
        (of / "history.jsonl").write_text("".join(lines[: len(lines) // 2]))
    for network in sorted(of.glob("networks/*"))[:1]:
        shutil.rmtree(network)


@pytest.mark.parametrize("name, field", CASES)
def test_a_run_goes_on_with_another_value_of_what_changes_nothing(
    name: str, field: str, folder: Path, capsys: Capture
) -> None:
    words = [*COMMANDS[name], *setting(name, field)]
    of = Path(f"runs/tiny-{name}")
    before, config = results(of), (of / "config.yaml").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in of.rglob("*.safetensors")}
    stage: Any = load_stage("tiny.yaml", STAGES[name], [words[-1]])

    foretell(of, name, stage)
    assert "already finished; nothing to do" in capsys.readouterr().err
    assert run(words) == 0
    assert f"{of}: already finished; nothing to do" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert same(results(of), before)

    interrupt(name, of)
    foretell(of, name, stage)
    assert f"{of}: resuming" in capsys.readouterr().err
    assert run(words) == 0
    assert f"{of}: resuming" in capsys.readouterr().err
    assert same(results(of), before)
    assert (of / "config.yaml").read_bytes() == config, "that of the start"


@pytest.mark.parametrize("name, dotted, value", OTHER_RUNS)
def test_another_value_of_what_matters_is_refused_and_foretold(
    name: str, dotted: str, value: int, folder: Path, capsys: Capture
) -> None:
    of = Path(f"runs/tiny-{name}")
    stage: Any = load_stage("tiny.yaml", STAGES[name], [f"{dotted}={value}"])
    foretell(of, name, stage)
    foretold = capsys.readouterr().err
    assert f"holds a run of another config ({dotted} was " in foretold
    assert f", now {value}); choose another --run folder" in foretold
    assert run([*COMMANDS[name], "--set", f"{dotted}={value}"]) == 2
    assert capsys.readouterr().err.splitlines()[-1:] == foretold.splitlines()


def test_a_dry_run_says_what_the_run_will_find(folder: Path, capsys: Capture) -> None:
    def said(*words: str) -> str:
        assert run(["search", "tiny.yaml", *words, "--dry-run", "--json"]) == 0
        return capsys.readouterr().err

    assert "runs/tiny-search: already finished; nothing to do" in said()
    assert "runs/tiny-search: already finished" in said("--set", "search.batch=4")
    assert "runs/tiny-search: resuming" in said("--set", "search.generations=3")
    assert "search.mutations was 2, now 1" in said("--set", "search.mutations=1")
    assert "runs/" not in said("--run", "runs/another")


def test_a_budget_only_grows(folder: Path, capsys: Capture) -> None:
    less = ["search", "tiny.yaml", "--set", "search.generations=1"]
    assert run(less) == 2
    said = "its budget is 12 candidates, now 8: a budget can only grow"
    assert said in capsys.readouterr().err

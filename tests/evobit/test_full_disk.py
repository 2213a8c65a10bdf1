"""No room to write: one line, exit code 1, and what was there stays intact."""

from pathlib import Path

import pytest
import yaml

from evobit.main import run
from supernet.architecture_file import load_architecture
from supernet.history_file import read_history
from supernet.spaces import space_from_description
from tests.processes import begin, command
from training.run_files.progress import PROGRESS_FILE

LIMIT = 40_000  # bytes a file may have: enough for configs and logs, too little for weights


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    return tmp_path


def with_room_for(size: int, *words: str) -> None:
    """Run a command while no file may have more bytes; it must end as on a full disk."""
    process = begin(command, words, size, stdout="stdout", stderr="stderr")
    process.join()
    stderr = Path("stderr").read_text()
    assert process.exitcode == 1, stderr
    lines = stderr.splitlines()
    assert lines[-1].startswith("evobit: no room to write") and "Traceback" not in stderr
    assert len([line for line in lines if line.startswith("evobit: no room")]) == 1
    assert Path("stdout").read_text() == ""
    assert not list(Path().rglob(".*.partial")) and not list(Path().rglob(".*.tmp"))


def test_training_ends_cleanly_and_resumes(folder: Path) -> None:
    words = ["train-supernet", "tiny.yaml", "--run", "run"]
    with_room_for(LIMIT, *words)
    left = {path.name for path in Path("run").iterdir()}
    assert left == {"config.yaml", "manifest.json", "log.jsonl", ".lock", PROGRESS_FILE}
    assert run(words) == 0
    assert Path("run/supernet.safetensors").stat().st_size > LIMIT


def test_a_search_keeps_its_history_and_goes_on(folder: Path, stages: dict) -> None:
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=1"]) == 0
    words = ["search", "tiny.yaml", "--set", "search.evaluations=24"]
    assert run([*words, "--run", "whole"]) == 0
    whole = Path("whole/history.jsonl").read_bytes()
    # Room for every other file of a search, and for a part of the history.
    others = [p.stat().st_size for p in Path("whole").iterdir() if p.name != "history.jsonl"]
    size = len(whole) - 200
    assert max(others) < size
    with_room_for(size, *words)
    history = Path("runs/tiny-search/history.jsonl")
    assert whole.startswith(history.read_bytes())
    assert 0 < len(read_history(history, space_from_description(stages["space"]))) < 24
    assert run(words) == 0
    assert history.read_bytes() == whole
    best = [Path(name, "best.json") for name in ("whole", "runs/tiny-search")]
    assert load_architecture(best[0])[1] == load_architecture(best[1])[1]

    # Export: the file of an earlier one stays until a new one is whole.
    Path("best.json").write_text("old")
    with_room_for(300, "export", "whole", "-o", "best.json")
    assert Path("best.json").read_text() == "old"
    assert run(["export", "whole", "-o", "best.json"]) == 0
    load_architecture("best.json")


def test_a_retraining_goes_on(folder: Path, stages: dict) -> None:
    from supernet.architecture_file import save_architecture

    space = space_from_description(stages["space"])
    save_architecture("a.json", space, space.first())
    words = ["retrain", "tiny.yaml", "a.json", "--set", "retrain.seeds=1"]
    with_room_for(18_000, *words)
    assert not list(Path("runs").rglob("*.safetensors"))
    assert run(words) == 0
    networks = list(Path("runs").rglob("network.safetensors"))
    assert networks and min(path.stat().st_size for path in networks) > 18_000

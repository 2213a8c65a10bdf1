"""Where nothing can be written to stderr, a command does and ends as anywhere else."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from supernet.architecture_file import save_architecture
from supernet.spaces import space_from_description
from tests.processes import begin, command
from training.run_files.progress import Progress


def code(*words: str) -> int | None:
    process = begin(command, list(words), stderr="/dev/full")
    process.join()
    return process.exitcode


def test_every_stage_ends_as_it_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict
) -> None:
    monkeypatch.chdir(tmp_path)
    stages["supernet"] |= {"epochs": 1, "tensorboard": False}
    stages["retrain"] |= {"epochs": 1, "seeds": 1, "uniform": 0, "random": 1}
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    space = space_from_description(stages["space"])
    save_architecture("a.json", space, space.first())
    real = "supernet.binarization={weights: real, activations: identity}"
    assert code("train-supernet", "missing.yaml") == 2
    assert code("train-supernet", "tiny.yaml", "--set", real, "--run", "real") == 0
    assert code("train-supernet", "tiny.yaml") == 0
    assert code("search", "tiny.yaml", "--set", "search.workers=0") == 0
    assert code("retrain", "tiny.yaml", "a.json") == 0
    for run in ("real", "runs/tiny-supernet", "runs/tiny-search", "runs/tiny-retrain"):
        assert json.loads(Path(run, "manifest.json").read_text())["summary"]


@pytest.mark.parametrize("buffered", [True, False])
def test_what_stays_in_a_buffer_changes_no_code(buffered: bool) -> None:
    """Python itself tries once more as it ends; tests may run with its streams unbuffered."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    variables |= {} if buffered else {"PYTHONUNBUFFERED": "1"}
    evobit = [sys.executable, "-m", "evobit"]
    with Path("/dev/full").open("w") as full:
        lost = subprocess.run([*evobit, "train-supernet", "no.yaml"], stderr=full, env=variables)
        words = [*evobit, "--version"]
        said = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, env=variables, text=True)
    assert lost.returncode == 2
    assert said.returncode == 1
    assert said.stderr == "evobit: no room to write: No space left on device\n"


def test_a_bar_outlives_its_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, terminal = pty.openpty()
    stream = os.fdopen(terminal, "w")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with Progress("work", 3, folder=tmp_path) as progress:
            assert progress.is_on_terminal
            progress.advance()
            os.close(other)
            progress.say("a line")
            progress.advance(2)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError):
        stream.write("it is gone")
        stream.close()

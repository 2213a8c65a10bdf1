"""Ctrl-C: the step is finished, the state is saved, and a resume ends as if nothing had been."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from supernet.files import load_weights
from training.checkpoint import load_checkpoint
from training.interrupt import InterruptRequest
from training.supernet_training import SupernetStage, train_supernet


def test_first_ctrl_c_is_noted_and_the_second_stops() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), InterruptRequest() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert interrupt.requested
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_saves_and_the_same_command_resumes(stages: dict, tmp_path: Path) -> None:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    # No checkpoint comes due by itself: what is found was saved by the interrupt.
    supernet = {**stages["supernet"], "epochs": 30, "checkpoint_seconds": 3600}
    stage = SupernetStage(**sections, supernet=supernet)
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump({**stages, "supernet": supernet}))
    run = tmp_path / "run"
    command = [sys.executable, "-m", "evobit", "train-supernet", str(config), "--run", str(run)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    while '"train"' not in (
        (run / "log.jsonl").read_text() if (run / "log.jsonl").exists() else ""
    ):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines()[-1].endswith("the same command resumes where this one stopped")
    assert 50 <= load_checkpoint(run / "checkpoint.pt")["step"] < 30 * 8
    train_supernet(stage, run)
    train_supernet(stage, tmp_path / "whole")
    expected, _ = load_weights(tmp_path / "whole" / "supernet.safetensors")
    found, _ = load_weights(run / "supernet.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)

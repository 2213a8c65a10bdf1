"""Ctrl-C and SIGTERM: the step is finished, the state saved, a resume ends as if undisturbed."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml

from supernet.files import load_weights
from tests.processes import begin, command
from training.loop.interrupt import SIGNALS, InterruptRequest
from training.run_files.checkpoint import load_checkpoint
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_first_signal_is_noted_and_the_second_stops(
    first: signal.Signals, second: signal.Signals
) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyboardInterrupt), InterruptRequest() as interrupt:
        os.kill(os.getpid(), first)
        time.sleep(0.01)
        assert interrupt.requested
        os.kill(os.getpid(), second)
        time.sleep(1)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_saves_and_the_same_command_resumes(
    stages: dict, tmp_path: Path, number: signal.Signals
) -> None:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    # No checkpoint comes due by itself: what is found was saved by the interrupt.
    supernet = {**stages["supernet"], "epochs": 30, "checkpoint_seconds": 3600}
    stage = SupernetStage(**sections, supernet=supernet)
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump({**stages, "supernet": supernet}))
    run = tmp_path / "run"
    words, errors = ["train-supernet", str(config), "--run", str(run)], tmp_path / "stderr"
    process = begin(command, words, stderr=errors)
    while '"train"' not in (
        (run / "log.jsonl").read_text() if (run / "log.jsonl").exists() else ""
    ):
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 1
    last = errors.read_text().splitlines()[-1]
    assert last.endswith("the same command resumes where this one stopped")
    assert 50 <= load_checkpoint(run / "checkpoint.pt")["step"] < 30 * 8
    train_supernet(stage, run)
    train_supernet(stage, tmp_path / "whole")
    expected, _ = load_weights(tmp_path / "whole" / "supernet.safetensors")
    found, _ = load_weights(run / "supernet.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)

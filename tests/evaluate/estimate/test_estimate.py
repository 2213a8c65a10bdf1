"""Estimates: what is made of the moments at which steps begin, and what is left behind: nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import torch

from evaluate.estimate import planned_training, rehearsal
from evaluate.estimate.rehearsal import Clock, Rehearsal, clocked, parts_of, peak_memory_bytes
from evaluate.estimate.run import estimate
from evaluate.retrain.config import RetrainStage
from evaluate.retrain.trainings import NetworkTrainings
from supernet.architecture_file import save_architecture
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.compilation import CompileDecision
from training.loop.training import Training
from training.supernet_stage import SupernetStage


def supernet_stage(stages: dict, **fields: object) -> SupernetStage:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    return SupernetStage.model_validate(
        {**sections, "supernet": {**stages["supernet"], **fields}},
    )


def test_a_training_is_its_start_its_steps_and_the_beginnings_of_its_epochs() -> None:
    # Epochs of 3 steps. Starting 5 s; the first step, which warms up, 9 s; then steps of 1 s, and
    # 4 s more where epochs begin: after the 3rd and the 6th.
    began = [5.0, 14.0, 15.0, 20.0, 21.0, 22.0, 27.0]
    assert parts_of(began, 3) == Rehearsal(start_s=5.0, step_s=1.0, epoch_s=4.0)
    assert parts_of(began, 3).seconds(3, epochs=10) == 5 + 30 * 1 + 9 * 4


def test_in_a_long_epoch_the_next_begins_like_the_first() -> None:
    found = parts_of([5.0, 9.0, 10.0, 12.0], 1000)
    assert found == Rehearsal(start_s=5.0, step_s=1.5, epoch_s=5.0)  # (1 + 2) / 2


def test_epochs_of_one_step_have_no_other_steps() -> None:
    found = parts_of([5.0, 7.0, 8.0, 11.0], 1)
    assert found.seconds(1, epochs=10) == 5 + 10 * 2  # (1 + 3) / 2 each


def test_one_step_alone_counts_though_it_warms_up() -> None:
    assert parts_of([5.0, 7.0], 4) == Rehearsal(start_s=5.0, step_s=2.0, epoch_s=5.0)


def test_a_loop_ends_when_its_time_is_over_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done: list[int] = []

    def endless(clock: Clock, folder: Path, log: object) -> None:
        (folder / "checkpoint.pt").write_bytes(b"weights")
        while True:
            clock.tick()
            done.append(1)

    # However short the time: MIN_STEPS whole steps, of which the next one's beginning is the end.
    assert len(clocked(endless, 0.0, tensorboard=False)) == rehearsal.MIN_STEPS + 1
    assert len(done) == rehearsal.MIN_STEPS
    assert not list(tmp_path.iterdir())


def test_the_steps_are_the_training_s_own(
    stages: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimiser_steps: list[int] = []
    whole = rehearsal.train_phase

    def watched(*given: object, **more: object) -> None:
        from training.loop import supervised

        step_within = supervised.step_within

        def counted(*arguments: object) -> None:
            optimiser_steps.append(1)
            step_within(*arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(supervised, "step_within", counted)
            whole(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(rehearsal, "train_phase", watched)
    monkeypatch.setattr(rehearsal, "SECONDS", 0.0)
    made = estimate(supernet_stage(stages, epochs=5), tmp_path / "run")
    # 128 images less 32 of the search split: 8 steps of 16 an epoch.
    assert made["steps"] == 5 * (128 // 16)
    assert len(optimiser_steps) == rehearsal.MIN_STEPS
    assert not (tmp_path / "run").exists()


def test_every_phase_is_rehearsed_as_it_is(
    stages: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, float]] = []
    whole = rehearsal.train_phase

    def watched(training: Training, number: int, *given, **more) -> None:  # type: ignore[no-untyped-def]
        settings = training.phases[number - 1]
        seen.append((settings.epochs, settings.learning_rate))
        whole(training, number, *given, **more)

    monkeypatch.setattr(rehearsal, "train_phase", watched)
    monkeypatch.setattr(rehearsal, "SECONDS", 0.0)
    phases = [{"epochs": 1, "learning_rate": 0.5}, {"epochs": 2, "learning_rate": 0.25}]
    estimate(supernet_stage(stages, phases=phases), tmp_path / "run")
    assert seen == [(1, 0.5), (2, 0.25)]


def decided(monkeypatch: pytest.MonkeyPatch, *, compiles: bool, saves_s: float = 400.0) -> None:
    made = CompileDecision(compiles, "as told", takes_s=100.0, saves_s=saves_s)
    monkeypatch.setattr(NetworkTrainings, "compile_decision", lambda *given: made)


def test_networks_are_counted_with_their_seeds_and_in_rounds(
    stages: dict, tiny_space: MobileNetGroups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned_training, "rehearse", lambda *given, **more: 1000.0)
    decided(monkeypatch, compiles=False)
    best = tmp_path / "best.json"
    save_architecture(best, tiny_space, tiny_space.uniform(2))
    sections = {name: stages[name] for name in ("space", "data", "seed")}

    def planned(files: list[Path], **fields: object) -> dict:
        stage = RetrainStage(**sections, retrain={**stages["retrain"], "seeds": 1, **fields})
        return estimate(stage, tmp_path / "run", architectures=files)

    alone = planned([best, best], uniform=1, random=1, seeds=2)
    assert alone["architectures"] == 3  # the file given twice, and two baselines
    assert alone["networks"] == 3 * 2 and alone["processes"] == 1
    assert alone["network_s"] == pytest.approx(1000, rel=0.1)
    assert alone["time_s"] == pytest.approx(6 * alone["network_s"], rel=0.1)
    beside = planned([best], uniform=1, random=1, workers=2)
    # Three networks on two workers are two rounds; each worker is a process beside this one.
    assert beside["time_s"] == pytest.approx(2 * 1000 + planned_training.RAY_START_SECONDS, rel=0.1)
    assert beside["processes"] == 3 and beside["memory_bytes"] > 2 * alone["memory_bytes"]
    decided(monkeypatch, compiles=True)
    compiled = planned([best], uniform=1, random=1)
    assert compiled["compile"] == "yes: as told"
    # Once a run: 100 s that it takes less 400 s that it saves.
    assert compiled["time_s"] == pytest.approx(3 * 1000 + 100 - 400, rel=0.02)
    decided(monkeypatch, compiles=True, saves_s=9999.0)
    # Half of the 3,000 s at most.
    assert planned([best], uniform=1, random=1)["time_s"] == pytest.approx(1500 + 100, rel=0.02)


def test_memory_is_that_of_a_process_with_torch() -> None:
    block = torch.ones(2**25)  # 128 MiB of float32
    assert peak_memory_bytes() > block.nbytes + 50 * 2**20


def test_attention_that_is_not_kept_yet_is_timed_and_not_made(
    stages: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = tmp_path / "own.py"
    extractor.write_text(
        "from torch import nn\n"
        "def make(num_classes, in_channels):\n"
        "    return nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.ReLU())\n"
    )
    monkeypatch.setattr(rehearsal, "SECONDS", 0.0)
    asked: list[int] = []
    timed = rehearsal.time_step
    monkeypatch.setattr(
        rehearsal, "time_step", lambda *given, **more: asked.append(1) or timed(*given, **more)
    )
    cache = tmp_path / "attention.safetensors"
    attention = {"extractor": f"{extractor}:make", "size": 16, "grid": 2, "cells": 1}
    for kept in (None, cache):
        mix = {
            "name": "attentive-cutmix",
            "probability": 1.0,
            "attention": {**attention, "cache": kept},
        }
        estimate(supernet_stage(stages, augment={"mix": [mix]}), tmp_path / "run")
    assert asked == [1]  # the second; in the first the loop itself asks at every step
    assert not cache.exists()

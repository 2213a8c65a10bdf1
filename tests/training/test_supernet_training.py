"""Supernet training: exact resume after kill -9, refusals, sampling rules, bookkeeping."""

import json
import random
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from supernet.files import UserError, load_weights
from supernet.spaces.mobilenet_groups import MobileNetGroups
from tests.processes import begin
from training.path_sampling import (
    PathSamplingConfig,
    UpdateCounts,
    check_sampling,
    draw_paths,
)
from training.run_files.checkpoint import load_checkpoint, save_checkpoint
from training.run_files.folder import RunFolder
from training.supernet_file import load_supernet
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet


def stage_of(stages: dict, **supernet: object) -> SupernetStage:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    return SupernetStage(**sections, supernet={**stages["supernet"], **supernet})


@pytest.mark.parametrize(
    # What is kept is the same; sliced shares the most with what is not trained.
    "sharing",
    [*(pytest.param(one, marks=pytest.mark.long) for one in ("independent", "nested")), "sliced"],
)
def test_resumed_after_kill_9_equals_uninterrupted(
    stages: dict, tmp_path: Path, sharing: str
) -> None:
    stage = stage_of(stages, epochs=12, sharing=sharing)
    train_supernet(stage, tmp_path / "whole")
    cut = tmp_path / "cut"
    process = begin(train_supernet, stage, cut)
    while not (cut / "checkpoint.pt").exists():
        assert process.is_alive(), "ended before its first checkpoint"
        time.sleep(0.005)
    process.kill()
    process.join()
    done = load_checkpoint(cut / "checkpoint.pt")["step"]
    assert 0 < done < 12 * 8  # 128 training images / 16 = 8 steps an epoch
    assert not RunFolder(cut, "supernet").finished
    train_supernet(stage, cut)
    expected, _ = load_weights(tmp_path / "whole" / "supernet.safetensors")
    found, _ = load_weights(cut / "supernet.safetensors")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    summaries = [RunFolder(path, "supernet").summary for path in (tmp_path / "whole", cut)]
    assert summaries[0] == summaries[1]


def test_finished_run_does_nothing_and_another_config_is_refused(
    stages: dict, tmp_path: Path
) -> None:
    summary = train_supernet(stage_of(stages), tmp_path / "run")
    weights = tmp_path / "run" / "supernet.safetensors"
    before = weights.stat().st_mtime_ns
    assert train_supernet(stage_of(stages), tmp_path / "run") == summary
    with pytest.raises(UserError, match="supernet.learning_rate was 0.003, now 0.1"):
        train_supernet(stage_of(stages, learning_rate=0.1), tmp_path / "run")
    assert weights.stat().st_mtime_ns == before


def test_it_learns_and_logs(stages: dict, tmp_path: Path) -> None:
    summary = train_supernet(stage_of(stages, epochs=14), tmp_path / "run")
    log = (tmp_path / "run" / "log.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    losses = [line["loss"] for line in lines if line["event"] == "train"]
    assert losses[-1] < losses[0]
    assert lines[-2]["step"] == summary["steps"] == 14 * 8
    for counts in summary["update_counts"].values():
        assert sum(counts.values()) == 14 * 8 and set(counts) <= {"1", "2", "4"}
    manifest = RunFolder(tmp_path / "run", "supernet").manifest
    assert manifest["data"]["splits"]["search"]["num_images"] == 32
    assert "test" not in manifest["data"]["splits"]
    assert load_supernet(tmp_path / "run").sharing == "independent"


def test_channels_and_classes_must_fit(stages: dict, tmp_path: Path) -> None:
    for field, value in (("in_channels", 3), ("in_channels", 2), ("classes", 10)):
        space, data = {**stages["space"], field: value}, {**stages["data"], "channels": 1}
        with pytest.raises(UserError, match=f"space.{field} is {value}"):
            train_supernet(stage_of({**stages, "space": space, "data": data}), tmp_path / field)


def test_grey_images_are_shown_in_colour_to_networks_that_take_it(
    stages: dict, tmp_path: Path
) -> None:
    colour = {**stages, "space": {**stages["space"], "in_channels": 3}}
    train_supernet(stage_of(colour), tmp_path / "run")
    data = json.loads((tmp_path / "run" / "manifest.json").read_text())["data"]
    assert data["channels"] == data["view"]["channels"] == 3


def test_batch_larger_than_the_data(stages: dict, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="batch_size 500 is larger than the 128 training images"):
        train_supernet(stage_of(stages, batch_size=500), tmp_path / "run")


def test_gpu_asked_for_and_absent(stages: dict, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UserError, match="device 'cuda' was asked for"):
        train_supernet(stage_of(stages, device="cuda"), tmp_path / "run")


def test_damaged_checkpoint_is_named(stages: dict, tmp_path: Path) -> None:
    stage = stage_of(stages)
    train_supernet(stage, tmp_path / "run")
    folder = RunFolder(tmp_path / "run", "supernet")
    folder.record("summary", None)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="checkpoint.pt: damaged training state"):
        train_supernet(stage, tmp_path / "run")


def test_checkpoint_of_another_format(tmp_path: Path) -> None:
    torch.save({"step": 1}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="expected format 'evobit/training-state'"):
        load_checkpoint(tmp_path / "other.pt")
    save_checkpoint(tmp_path / "good.pt", {"step": 4})
    assert load_checkpoint(tmp_path / "good.pt")["step"] == 4


def test_uniform_paths_cover_every_choice(tiny_space: MobileNetGroups) -> None:
    rng, counts = random.Random(0), Counter()
    for _ in range(600):
        (architecture,) = draw_paths(tiny_space, PathSamplingConfig(), rng)
        counts.update(architecture.choices)
    assert len(counts) == 9 and all(150 <= count <= 250 for count in counts.values())


def test_strict_fairness_updates_every_choice_once_a_step(tiny_space: MobileNetGroups) -> None:
    rng = random.Random(0)
    for _ in range(20):
        paths = draw_paths(tiny_space, PathSamplingConfig(rule="strict-fairness"), rng)
        assert len(paths) == 3
        for position in tiny_space.positions:
            assert sorted(path[position.name] for path in paths) == [1, 2, 4]


def test_strict_fairness_with_positions_of_different_size() -> None:
    space = MobileNetGroups(
        image_size=8, classes=2, in_channels=1, width=0.0625, groups=(1, 2, 4, 8),
        blocks=((64, 1), (128, 2), (128, 1)),
    )  # fmt: skip
    assert [len(position.choices) for position in space.positions] == [2, 3, 4]
    paths = draw_paths(space, PathSamplingConfig(rule="strict-fairness"), random.Random(0))
    counts = Counter(path["block1.spatial"] for path in paths)
    assert len(paths) == 4 and set(counts.values()) == {2}
    counts = Counter(path["block2.spatial"] for path in paths)
    assert sorted(counts.values()) == [1, 1, 2]


def test_cost_range_is_kept_and_bounded(tiny_space: MobileNetGroups) -> None:
    from supernet.costs import cost

    rng = random.Random(0)
    every = sorted(cost(tiny_space.decode(tiny_space.sample(rng))).ops for _ in range(200))
    low, high = every[40], every[120]
    config = PathSamplingConfig(rule="cost-range", minimum=low, maximum=high)
    for _ in range(20):
        (architecture,) = draw_paths(tiny_space, config, rng)
        assert low <= cost(tiny_space.decode(architecture)).ops <= high
    check_sampling(tiny_space, config, rng)
    nothing = PathSamplingConfig(rule="cost-range", maximum=1)
    (nearest,) = draw_paths(tiny_space, nothing, rng)
    assert cost(tiny_space.decode(nearest)).ops == every[0], "bounded: the nearest drawn"
    with pytest.raises(UserError, match="none of 1000 drawn architectures has ops between 0 and 1"):
        check_sampling(tiny_space, nothing, rng)
    with pytest.raises(UserError, match="no cost 'macs'"):
        check_sampling(tiny_space, PathSamplingConfig(rule="cost-range", cost="macs"), rng)


def test_update_counts_round_trip(tiny_space: MobileNetGroups) -> None:
    counts, again = UpdateCounts(), UpdateCounts()
    counts.add(tiny_space.uniform(2))
    counts.add(tiny_space.uniform(4))
    again.load(counts.as_dict())
    again.add(tiny_space.uniform(4))
    assert again.as_dict()["block2.spatial"] == {"2": 1, "4": 2}

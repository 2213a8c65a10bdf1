"""Training in several processes: the same weights as in one, and a lost process survived."""

import json
import os
import signal
import time
from pathlib import Path
from random import Random

import pytest
import torch
import yaml
from torch import nn

from evaluate.retrain.config import RetrainStage
from evaluate.retrain.run import retrain
from supernet.files import UserError, load_weights
from supernet.sharing import Sharing
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.supernet import Supernet
from tests.training.processes.two_processes import (
    largest_difference,
    pair,
    pair_of,
    torchrun,
)
from training.augment.config import AugmentConfig
from training.augment.images import augment
from training.data.normalisation import Normalisation
from training.loop.losses import LabelLoss
from training.loop.supervised import training_step
from training.processes.distributed import (
    Part,
    any_process,
    begin_alike,
    gather,
    mean_over_processes,
    on_first,
    processes,
)
from training.processes.shared_norm import share_statistics
from training.run_files.folder import RunFolder
from training.seeds import torch_stream
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

# A sign makes a rounding into a difference of 2, and Adam makes one into a whole step: what is
# compared after many steps has real operands and moves in proportion to its gradient.
CONTINUOUS = {
    "binarization": {"weights": "real", "activations": "identity"},
    "optimiser": {"name": "sgd"},
    "learning_rate": 0.05,
}
VARIED = {
    "augment": {
        "mix": [{"name": "cutmix", "probability": 0.6}, {"name": "mixup", "probability": 0.4}],
        "erase": {"name": "random-erasing", "probability": 0.5},
    },
    "drop_block": {"keep": 0.8, "size": 2},
}


def config_of(stages: dict, folder: Path, **supernet: object) -> Path:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    stage = {**sections, "supernet": {**stages["supernet"], "threads": 1, **supernet}}
    path = folder / "stage.yaml"
    path.write_text(yaml.safe_dump(stage))
    return path


@pytest.mark.parametrize(
    ("sharing", "varied"), [("independent", {}), ("nested", VARIED), ("sliced", {})]
)
def test_two_processes_give_the_weights_of_one(
    stages: dict, tmp_path: Path, sharing: str, varied: dict
) -> None:
    config = config_of(stages, tmp_path, epochs=2, sharing=sharing, **varied, **CONTINUOUS)
    first, second = pair_of("train-supernet", config, tmp_path / "two")
    assert first.code == second.code == 0, first.stderr
    summary = json.loads(first.stdout)
    assert second.stdout == ""
    one = train_supernet(SupernetStage(**yaml.safe_load(config.read_text())), tmp_path / "one")
    assert summary == one
    weights = [tmp_path / name / "supernet.safetensors" for name in ("one", "two")]
    assert largest_difference(*weights) < 1e-3
    other = SupernetStage(**{**yaml.safe_load(config.read_text()), "seed": 4})
    train_supernet(other, tmp_path / "other")
    assert largest_difference(weights[0], tmp_path / "other" / "supernet.safetensors") > 0.1


def test_two_processes_retrain_a_network_like_one(stages: dict, tmp_path: Path) -> None:
    network = {"name": "network", "network": "bireal-18", "stem": "small", "width": 0.125}
    image = {"image_size": 8, "in_channels": 1, "classes": 4}
    phases = [{"epochs": 1}, {"epochs": 1}]
    settings = {**stages["retrain"], **CONTINUOUS, "phases": phases, "seeds": 1}
    config = tmp_path / "network.yaml"
    sections = {"space": {**network, **image}, "data": stages["data"], "seed": 3}
    config.write_text(yaml.safe_dump({**sections, "retrain": settings}))
    first, second = pair_of("retrain", config, tmp_path / "two")
    assert first.code == second.code == 0, first.stderr
    two = json.loads(first.stdout)["networks"][0]
    stage = RetrainStage(**yaml.safe_load(config.read_text()))
    one = retrain(stage, [], tmp_path / "one")["networks"][0]
    assert two["networks"] == one["networks"]
    weights = [tmp_path / n / one["networks"][0] / "network.safetensors" for n in ("one", "two")]
    assert largest_difference(*weights) < 1e-3
    log = (tmp_path / "two" / one["networks"][0] / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in log] == ["started", "train", "train", "trained"]
    config.write_text(
        yaml.safe_dump({**sections, "retrain": {**settings, "workers": 2}, "seed": 4})
    )
    first, _ = pair_of("retrain", config, tmp_path / "refused")
    assert first.code and "retrain.workers is 2" in first.stderr
    assert not (tmp_path / "refused").exists()


def test_a_killed_process_is_restarted_and_changes_nothing(stages: dict, tmp_path: Path) -> None:
    config = config_of(stages, tmp_path, epochs=8, checkpoint_seconds=0)
    run = tmp_path / "disturbed"
    process = torchrun(config, run, restarts=1)
    while not (run / "checkpoint.pt").exists():
        assert process.poll() is None, "ended before its first checkpoint"
        time.sleep(0.005)
    os.kill(_second_process(process.pid), signal.SIGKILL)
    assert not RunFolder(run, "supernet").finished
    stdout, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    calm, _ = pair_of("train-supernet", config, tmp_path / "calm")
    assert stdout == calm.stdout  # of the first process alone
    first, second = (
        load_weights(tmp_path / n / "supernet.safetensors")[0] for n in ("calm", "disturbed")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    summaries = [RunFolder(tmp_path / n, "supernet").summary for n in ("calm", "disturbed")]
    assert summaries[0] == summaries[1]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert sum(line["event"] == "started" for line in log) == 2


def _second_process(parent: int) -> int:
    """The child of torchrun whose rank is 1."""
    for status in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = status.read_bytes().split(b"\0")
            father = int((status.parent / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if father == parent and b"RANK=1" in environment:
            return int(status.parent.name)
    raise AssertionError("no process of rank 1")


def test_a_batch_that_cannot_be_shared_is_refused_once(stages: dict, tmp_path: Path) -> None:
    config = config_of(stages, tmp_path, batch_size=15)
    both = pair_of("train-supernet", config, tmp_path / "run")
    text = "".join(process.stderr for process in both)
    lines = [line for line in text.splitlines() if line.startswith("evobit: ")]
    assert lines == [
        "evobit: batch_size 15 is shared by 2 processes: expected a multiple of 2, at least 4"
    ]
    assert not (tmp_path / "run").exists()


def test_parts_of_a_batch_are_varied_as_the_whole_batch() -> None:
    images = torch.randint(0, 256, (8, 3, 12, 12), dtype=torch.uint8)
    seen = Normalisation((0.5,) * 3, (0.25,) * 3, 8)
    for config in (AugmentConfig(), AugmentConfig(crop="resized"), AugmentConfig(crop="none")):

        def varied(part: Part, config: AugmentConfig = config) -> torch.Tensor:
            stream = torch_stream(0, "augment", 3)
            return augment(part.of(images), config, seen, stream, part)

        parts = [varied(Part(rank, 4)) for rank in range(4)]
        assert torch.equal(torch.cat(parts), varied(Part()))


def _statistics_in_process(folder: Path) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5)
    x, upstream = torch.randn(2, 6, 5, 4, 4)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
    with processes("cpu") as own:
        rank = own.rank
        share_statistics(norm)
        mine = own.of(x).clone().requires_grad_()
        y = norm(mine)
        (y * own.of(upstream)).sum().backward()
        assert mean_over_processes(float(rank)) == 0.5
        assert any_process(rank == 1) and not any_process(False)
        assert on_first(lambda: rank + 7) == 7
        last = x.contiguous(memory_format=torch.channels_last)
        assert torch.equal(gather(own.of(last)), x)
        assert gather(own.of(torch.arange(6))).tolist() == [0, 1, 2, 3, 4, 5]
        with pytest.raises(UserError, match="said by the first"):
            on_first(_refuse)
    state = {"y": y.detach(), "dx": mine.grad, "mean": norm.running_mean, "var": norm.running_var}
    torch.save(state, folder / str(rank))


def _steps(own: Part, sharing: Sharing, space: MobileNetGroups) -> dict[str, torch.Tensor]:
    """Four training steps of a binary supernet in double precision, on this part of each batch."""
    torch.manual_seed(0)
    supernet = Supernet(space, sharing).double()
    begin_alike(supernet, shared_norms=True)
    optimiser = torch.optim.SGD(supernet.parameters(), 0.05, 0.9)
    x = torch.randn(4, 16, 1, 8, 8, dtype=torch.float64)
    labels = torch.randint(4, (4, 16))
    for step in range(4):
        paths = [supernet.path(space.sample(Random(2 * step + n))) for n in range(2)]
        part_of = own.of(x[step]), own.of(labels[step])
        training_step(paths, supernet, optimiser, *part_of, LabelLoss(0.1))
    return supernet.state_dict()


def _steps_in_process(folder: Path, sharing: Sharing, space: MobileNetGroups) -> None:
    with processes("cpu") as own:
        torch.save(_steps(own, sharing, space), folder / str(own.rank))


@pytest.mark.parametrize("sharing", ["independent", "nested", "sliced"])
def test_binary_steps_in_two_processes_are_those_of_one(
    tmp_path: Path, tiny_space: MobileNetGroups, sharing: Sharing
) -> None:
    ended = pair(_steps_in_process, tmp_path, sharing, tiny_space, folder=tmp_path)
    assert [process.code for process in ended] == [0, 0], ended
    one = _steps(Part(), sharing, tiny_space)
    for rank in range(2):
        found = torch.load(tmp_path / str(rank), weights_only=True)
        for name, expected in one.items():
            torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-9, msg=name)


def _refuse() -> None:
    raise UserError("said by the first")


def test_batch_norm_over_processes_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    ended = pair(_statistics_in_process, tmp_path, folder=tmp_path)
    assert [process.code for process in ended] == [0, 0], ended
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(5)
    x, upstream = torch.randn(2, 6, 5, 4, 4)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
    x.requires_grad_()
    y = norm(x)
    (y * upstream).sum().backward()
    halves = [torch.load(tmp_path / str(rank), weights_only=True) for rank in range(2)]
    torch.testing.assert_close(torch.cat([half["y"] for half in halves]), y.detach())
    torch.testing.assert_close(torch.cat([half["dx"] for half in halves]), x.grad)
    for half in halves:
        torch.testing.assert_close(half["mean"], norm.running_mean)
        torch.testing.assert_close(half["var"], norm.running_var)

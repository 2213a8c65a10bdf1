"""Scoring: BatchNorm calibration, untouched shared weights, the same score anywhere."""

import copy
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from supernet.files import UserError
from supernet.network import build
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.data import DataConfig
from training.scoring.calibration import calibrate_batch_norm, calibrated_outputs, top1
from training.scoring.scorer import Scorer, ScoringConfig, scoring_arrays
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet


@pytest.fixture(params=["independent", "nested", "sliced"])
def trained(request: pytest.FixtureRequest, stages: dict, tmp_path: Path) -> Path:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    supernet = {**stages["supernet"], "epochs": 10, "sharing": request.param}
    train_supernet(SupernetStage(**sections, supernet=supernet), tmp_path / "supernet")
    return tmp_path / "supernet"


def digest(arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for _, a in sorted(arrays.items()))).hexdigest()


def test_scores_without_touching_the_shared_weights(
    trained: Path, stages: dict, tiny_space: MobileNetGroups
) -> None:
    config = ScoringConfig(**stages["search"]["scoring"])
    arrays = scoring_arrays(trained, DataConfig(**stages["data"]), config, seed=0)
    for array in arrays.values():
        array.flags.writeable = False  # as Ray shares them
    before = digest(arrays)
    scorer = Scorer(tiny_space.describe(), arrays, config)
    scores = [scorer(tiny_space.uniform(groups)) for groups in (1, 2, 4, 1)]
    assert digest(arrays) == before
    assert scores[0] == scores[3], "a score may not depend on what was scored before"
    assert max(scores) > 50, "chance is 25 % of four classes"
    state = scorer.supernet.state_dict()
    assert all(np.array_equal(arrays[f"weights/{n}"], t.numpy()) for n, t in state.items())
    assert Scorer(tiny_space.describe(), arrays, config)(tiny_space.uniform(2)) == scores[1]


def test_calibration_equals_the_mean_over_batches() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3))
    network[1].running_mean.fill_(99)
    batches = [torch.randn(8, 1, 4, 4) for _ in range(5)]
    calibrate_batch_norm(network, batches)
    with torch.no_grad():
        seen = [network[0](batch) for batch in batches]
    mean = torch.stack([y.mean((0, 2, 3)) for y in seen]).mean(0)
    variance = torch.stack([y.var((0, 2, 3)) for y in seen]).mean(0)
    assert torch.allclose(network[1].running_mean, mean, atol=1e-6)
    assert torch.allclose(network[1].running_var, variance, atol=1e-6)
    assert network[1].momentum == 0.1 and not network[1].training and not network.training


@pytest.mark.parametrize("side", [1, 8, 16])
def test_statistics_are_those_of_doubles(side: int) -> None:
    torch.manual_seed(0)
    norm, twin = nn.BatchNorm2d(8), nn.BatchNorm2d(8).double()
    batches = torch.randn(3, 256, 8, side, side) + 30  # far from 0, as behind a ReLU it may be
    last = [batch.contiguous(memory_format=torch.channels_last) for batch in batches]
    calibrate_batch_norm(norm, last)
    calibrate_batch_norm(twin, batches.double())
    # One rounding each, of numbers near 30 and near 1.
    assert (norm.running_mean - twin.running_mean).abs().max() < 30 * 2**-24
    assert (norm.running_var / twin.running_var - 1).abs().max() < 2**-22
    assert norm.num_batches_tracked == 3


def test_torch_itself_agrees_in_doubles() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).double()
    twin = copy.deepcopy(network).train()
    twin[1].momentum = None
    batches = torch.randn(3, 8, 1, 5, 5, dtype=torch.float64)
    outputs = list(calibrated_outputs(network, batches))
    theirs = [twin(batch).detach() for batch in batches]
    assert torch.allclose(torch.stack(outputs), torch.stack(theirs), atol=1e-12)
    for name, value in twin.state_dict().items():
        assert torch.allclose(network.state_dict()[name], value, atol=1e-12), name


def test_a_compiled_network_is_calibrated_as_well() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    twin, batches = copy.deepcopy(network), torch.randn(3, 8, 1, 5, 5)
    network.compile(backend="eager")
    network.eval()(batches[0])  # makes a graph, of a norm without hooks
    calibrate_batch_norm(network, batches)
    calibrate_batch_norm(twin, batches)
    assert torch.equal(network[1].running_mean, twin[1].running_mean)
    assert torch.equal(network[1].running_var, twin[1].running_var)
    assert torch.equal(network(batches[0]), twin(batches[0]))


def test_one_value_a_channel_has_no_variance() -> None:
    with pytest.raises(ValueError, match=r"two values of each channel.* shape \(1, 3, 1, 1\)"):
        calibrate_batch_norm(nn.BatchNorm2d(3), [torch.zeros(1, 3, 1, 1)])


def test_calibration_touches_batch_norm_alone(tiny_space: MobileNetGroups) -> None:
    network = build(tiny_space.decode(tiny_space.uniform(2)))
    before = {name: p.clone() for name, p in network.named_parameters()}
    calibrate_batch_norm(network, [torch.randn(4, 1, 8, 8)])
    assert all(torch.equal(before[name], p) for name, p in network.named_parameters())
    assert all(p.grad is None for p in network.parameters())


def test_top1_counts() -> None:
    # Logits are the input itself: the largest entry is the class.
    logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 2.0]])
    assert top1(nn.Identity(), [(logits, torch.tensor([0, 1, 1]))]) == pytest.approx(200 / 3)


def test_too_many_calibration_images(trained: Path, stages: dict) -> None:
    config = ScoringConfig(calibration_images=512, calibration_batch=256)
    with pytest.raises(UserError, match="at most the 128 training images"):
        scoring_arrays(trained, DataConfig(**stages["data"]), config, seed=0)


def test_calibration_images_are_training_images(trained: Path, stages: dict) -> None:
    from training.data import open_training_data

    config = ScoringConfig(**stages["search"]["scoring"])
    data = open_training_data(DataConfig(**stages["data"]))
    arrays = scoring_arrays(trained, DataConfig(**stages["data"]), config, seed=0)
    train = {image.numpy().tobytes() for image in data.train.read(torch.arange(len(data.train)))[0]}
    assert len(arrays["calibration"]) == 64
    assert all(image.tobytes() in train for image in arrays["calibration"])
    assert not any(image.tobytes() in train for image in arrays["images"])

"""Scores after a few steps of a network's own training from a supernet's weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.data import DataConfig
from training.data.training_data import open_for
from training.scoring.adapted import AdaptedScorer
from training.scoring.adapting import AdaptConfig, adapting_arrays
from training.scoring.calibration import calibrate_batch_norm
from training.scoring.scorer import Scorer, ScoringConfig, scoring_arrays
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

ADAPT = {"steps": 20, "batch_size": 16, "learning_rate": 0.01}


@pytest.fixture(params=["independent", "nested", "sliced"])
def trained(request: pytest.FixtureRequest, stages: dict, tmp_path: Path) -> Path:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    supernet = {**stages["supernet"], "epochs": 2, "sharing": request.param}
    train_supernet(SupernetStage(**sections, supernet=supernet), tmp_path / "supernet")
    return tmp_path / "supernet"


def arrays_of(trained: Path, stages: dict) -> tuple[dict[str, np.ndarray], ScoringConfig]:
    config = ScoringConfig(**stages["search"]["scoring"], adapt=ADAPT)
    arrays = scoring_arrays(trained, DataConfig(**stages["data"]), config, seed=0)
    for array in arrays.values():
        array.flags.writeable = False  # as Ray shares them
    return arrays, config


def test_it_is_a_pure_function_of_the_architecture(
    trained: Path, stages: dict, tiny_space: MobileNetGroups
) -> None:
    arrays, config = arrays_of(trained, stages)
    before = {name: array.tobytes() for name, array in arrays.items()}
    scorer = AdaptedScorer(tiny_space.describe(), arrays, config)
    architectures = [tiny_space.uniform(groups) for groups in (1, 2, 4)]
    found = [scorer.answers(architecture) for architecture in architectures]
    assert {name: array.tobytes() for name, array in arrays.items()} == before
    other = AdaptedScorer(tiny_space.describe(), arrays, config)
    for number, blocks in other.answer(architectures[::-1]):
        (again,) = blocks
        assert again.losses.tolist() == found[2 - number].losses.tolist()
    plain = Scorer(tiny_space.describe(), arrays, config)
    losses = [plain.answers(architecture).loss for architecture in architectures]
    assert np.mean([one.loss for one in found]) < 0.9 * np.mean(losses)


def test_it_trains_as_it_says(trained: Path, stages: dict, tiny_space: MobileNetGroups) -> None:
    arrays, config = arrays_of(trained, stages)
    scorer = AdaptedScorer(tiny_space.describe(), arrays, config)
    architecture = tiny_space.uniform(2)
    network = scorer.supernet.extract(architecture).to(memory_format=torch.channels_last)
    network.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(network.parameters(), 0.01, weight_decay=0.0)
    places = torch.from_numpy(arrays["adapting/order"].copy()).split(16)
    images, labels = (
        torch.from_numpy(arrays[f"adapting/{name}"].copy()) for name in ("images", "labels")
    )
    for step, drawn in enumerate(places):
        optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / 20)
        optimiser.zero_grad()
        F.cross_entropy(network(scorer._prepare(images[drawn])), labels[drawn]).backward()
        optimiser.step()
    calibrate_batch_norm(network, map(scorer._prepare, scorer._calibration.split(32)))
    with torch.no_grad():
        logits = network.eval()(scorer._prepare(scorer._images))
    expected = F.cross_entropy(logits, scorer._labels, reduction="none")
    found = scorer.answers(architecture)
    assert np.allclose(found.losses, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert found.loss == pytest.approx(float(expected.mean()), rel=1e-4)


def test_the_images_are_of_the_train_split_and_each_is_kept_once(
    stages: dict, tiny_space: MobileNetGroups
) -> None:
    data = open_for(tiny_space, DataConfig(**stages["data"]))
    for steps in (1, 3, 20):  # 20 x 16 images are two and a half epochs of 128
        arrays = adapting_arrays(data.train, AdaptConfig(steps=steps, batch_size=16), seed=0)
        order, images = arrays["adapting/order"], arrays["adapting/images"]
        assert len(order) == 16 * steps and len(images) == min(16 * steps, len(data.train))
        counts = np.bincount(order, minlength=len(images))
        assert counts.max() - counts.min() <= 1
        whole, labels = data.train.read(torch.arange(len(data.train)))
        known = {
            image.numpy().tobytes(): int(label) for image, label in zip(whole, labels, strict=True)
        }
        for image, label in zip(images, arrays["adapting/labels"], strict=True):
            assert known[image.tobytes()] == label
    seeds = [
        adapting_arrays(data.train, AdaptConfig(steps=2, batch_size=16), seed) for seed in (0, 1)
    ]
    assert seeds[0]["adapting/images"].tobytes() != seeds[1]["adapting/images"].tobytes()

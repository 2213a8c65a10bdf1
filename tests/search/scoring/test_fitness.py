"""Searches that rank by cross-entropy, as inherited or after a few steps of own training."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import functional as F

from evaluate.score import score_network
from search.config import SearchConfig, SearchStage
from search.results.export_weights import export_inherited
from search.run import run_search
from supernet.candidate import Candidate, best
from supernet.history_file import read_history, read_without_space
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.data import open_training_data
from training.network_file import load_network
from training.scoring.answers import Answers, top1_error
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

ADAPTED = {"fitness": "cross_entropy", "adapt": {"steps": 4, "batch_size": 16}}


@given(st.integers(1, 12), st.integers(2, 6), st.integers(0, 2**31), st.sampled_from([1, 30]))
def test_losses_are_the_cross_entropy(count: int, classes: int, seed: int, scale: int) -> None:
    torch.manual_seed(seed)
    logits, labels = scale * torch.randn(count, classes), torch.randint(classes, (count,))
    found = Answers.of(logits.argmax(1).numpy(), logits.numpy(), labels.numpy())
    expected = F.cross_entropy(logits.double(), labels, reduction="none")
    assert np.allclose(found.losses, expected.numpy(), rtol=1e-12, atol=1e-12)
    assert found.top1 == 100.0 * int((logits.argmax(1) == labels).sum()) / count
    if count > 1:
        error = float(expected.std()) / math.sqrt(count)
        assert found.loss_error == pytest.approx(error, abs=1e-12)


def test_the_error_of_a_top1() -> None:
    assert top1_error(80.0, 1000) == pytest.approx(1.2649, abs=1e-4)  # 100 sqrt(.8 .2 / 1000)
    assert top1_error(100.0, 50) == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_space, bars: Path) -> Path:
    """The folder of a tiny supernet that was really trained."""
    folder = tmp_path_factory.mktemp("trained")
    stage = SupernetStage(**sections(tiny_space, bars), supernet=TRAINING)
    train_supernet(stage, folder / "supernet")
    return folder / "supernet"


TRAINING = {"epochs": 2, "batch_size": 16, "tensorboard": False, "threads": 1, "sharing": "sliced"}


def sections(space: MobileNetGroups, bars: Path) -> dict:
    data = {"name": f"{bars}:read", "image_size": 8, "search_fraction": 0.2}
    return {"space": space.describe(), "data": data, "seed": 3}


def stage_of(space: MobileNetGroups, bars: Path, scoring: dict, **changed: object) -> SearchStage:
    search = {
        "population": 4, "parents": 2, "mutations": 2, "crossovers": 1, "generations": 2,
        "feasibility_samples": 50, **changed,
    }  # fmt: skip
    images = {"calibration_images": 64, "calibration_batch": 32, "batch_size": 16}
    search["scoring"] = {**images, **scoring}
    return SearchStage(**sections(space, bars), search=search)


@pytest.mark.parametrize("scoring", [{"fitness": "cross_entropy"}, ADAPTED, {"adapt": {}}])
def test_one_result_however_it_is_run(
    trained: Path, tiny_space: MobileNetGroups, bars: Path, tmp_path: Path, scoring: dict
) -> None:
    def stage(**changed: object) -> SearchStage:
        return stage_of(tiny_space, bars, scoring, **changed)

    summary = run_search(stage(), tmp_path / "whole", trained)
    expected = (tmp_path / "whole" / "history.jsonl").read_bytes()
    candidates = read_history(tmp_path / "whole" / "history.jsonl", tiny_space)
    assert read_without_space(tmp_path / "whole" / "history.jsonl") == candidates
    if scoring.get("fitness"):
        leader = min(candidates, key=lambda one: one.loss)
        assert summary["search_loss"] == leader.loss and summary["search_top1"] == leader.top1
        assert summary["search_error"] == leader.loss_error > 0
        assert all(0 < one.loss < 3 for one in candidates)
    else:
        assert all(one.loss is None for one in candidates)
        assert summary["search_error"] == top1_error(summary["search_top1"], 32)
    assert 1 <= summary["within_noise"] <= 12
    assert summary["best"] == str(best(candidates, 1)[0].architecture)
    # Stopped after five and gone on, and in batches: the very same bytes.
    run_search(stage(evaluations=5, generations=20), tmp_path / "parts", trained)
    run_search(stage(batch=3), tmp_path / "parts", trained)
    assert (tmp_path / "parts" / "history.jsonl").read_bytes() == expected


@pytest.mark.ray
def test_ray_workers_change_no_byte(
    trained: Path, tiny_space: MobileNetGroups, bars: Path, tmp_path: Path, ray
) -> None:
    found = []
    for workers in (0, 2):
        run = tmp_path / str(workers)
        run_search(stage_of(tiny_space, bars, ADAPTED, workers=workers), run, trained)
        found.append((run / "history.jsonl").read_bytes())
    assert found[0] == found[1]


def test_the_front_is_one_of_losses(
    trained: Path, tiny_space: MobileNetGroups, bars: Path, tmp_path: Path
) -> None:
    stage = stage_of(tiny_space, bars, ADAPTED, searcher="nsga2")
    summary = run_search(stage, tmp_path / "run", trained)
    candidates = read_history(tmp_path / "run" / "history.jsonl", tiny_space)
    points = [(one.costs["ops"], one.loss) for one in candidates]
    front = [
        i
        for i, (ops, loss) in enumerate(points)
        if not any(o <= ops and x <= loss and (o, x) != (ops, loss) for o, x in points)
    ]
    assert sorted(summary["front"]) == front
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["reference_point"]["loss"] == pytest.approx(math.log(4))
    assert 0 < summary["hypervolume"] < 1


def test_what_is_exported_is_what_was_scored(
    trained: Path, tiny_space: MobileNetGroups, bars: Path, tmp_path: Path
) -> None:
    summary = run_search(stage_of(tiny_space, bars, ADAPTED), tmp_path / "run", trained)
    (made,) = export_inherited(tmp_path / "run", tmp_path / "n.safetensors")
    assert made.search_loss == summary["search_loss"]
    network = load_network(made.path)
    images = open_training_data(network.data).search
    assert score_network(network, images, "cpu")["top1"] == made.search_top1
    assert "trained on for 4 steps by itself" in str(network.inherited)


def test_a_candidate_ranks_by_its_loss(tiny_space: MobileNetGroups) -> None:
    def made(index: int, top1: float, loss: float | None) -> Candidate:
        one = tiny_space.uniform((1, 2, 4)[index])
        return Candidate(index, one, {"ops": 1}, top1, 0, "random", loss=loss)

    ranked = best([made(0, 90.0, 0.5), made(1, 80.0, 0.4), made(2, 70.0, 0.6)], 3)
    assert [one.index for one in ranked] == [1, 0, 2]
    plain = best([made(0, 70.0, None), made(1, 90.0, None)], 2)
    assert [one.index for one in plain] == [1, 0]


@pytest.mark.parametrize(
    ("scoring", "said"),
    [
        ({"fitness": "cross_entropy"}, "not for scoring.fitness cross_entropy"),
        ({"adapt": {}}, "not for scoring.adapt"),
    ],
)
def test_races_are_of_top1_as_inherited(scoring: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SearchConfig(racing={}, scoring=scoring)


def test_kernels_do_not_train() -> None:
    with pytest.raises(ValidationError, match="adapt trains in torch"):
        SearchConfig(scoring={"engine": "packed", "adapt": {}})

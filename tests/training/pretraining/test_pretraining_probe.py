"""probe.safetensors: the pre-trained network with the linear probe as its head, a classifier."""

import json
from pathlib import Path

import pytest
import torch

from evaluate.score import evaluate_checkpoint
from supernet.architecture_file import save_architecture
from supernet.files import load_weights
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.data import DataConfig, open_training_data
from training.loop.settings import TrainingSettings
from training.network_file import load_network
from training.network_training import TrainingJob, train_network
from training.pretraining.config import PretrainStage
from training.pretraining.run import pretrain

PRETRAIN = {
    "method": "simclr", "epochs": 4, "batch_size": 16, "projection": 8, "learning_rate": 0.01,
    "optimiser": {"name": "adam"}, "threads": 1, "tensorboard": False, "neighbours": 5,
}  # fmt: skip


def pretrained(stages: dict, folder: Path, classes: int = 4) -> dict:
    space = space_from_description({**stages["space"], "classes": classes})
    save_architecture(folder / "a.json", space, space.first())
    sections = {"space": space.describe(), "data": stages["data"], "seed": 3}
    stage = PretrainStage(**sections, pretrain=PRETRAIN)
    return pretrain(stage, folder / "a.json", folder / "run")


def test_it_is_the_probe_of_the_summary_and_it_teaches(
    stages: dict, tmp_path: Path, tiny_space: MobileNetGroups
) -> None:
    summary = pretrained(stages, tmp_path)
    assert summary["probe"] == "probe.safetensors"
    path = tmp_path / "run" / "probe.safetensors"
    trained = load_network(path)
    seen = trained.normalisation
    search = open_training_data(trained.data).search
    pixels, labels = search.read(torch.arange(len(search)))
    with torch.no_grad():
        logits = trained.network(seen.apply(pixels))
    top1 = 100 * (logits.argmax(1) == labels).float().mean().item()
    assert top1 == pytest.approx(summary["search_split"]["linear_top1"], abs=1e-3)
    assert top1 > 40  # of four classes

    probe, encoder = (
        load_weights(tmp_path / "run" / f"{name}.safetensors")[0] for name in ("probe", "encoder")
    )
    assert {name for name in encoder if not torch.equal(encoder[name], probe[name])} == {
        "head.linear.weight",
        "head.linear.bias",
    }
    assert evaluate_checkpoint(path, None)["images"] == 40  # its test split

    job = TrainingJob(
        name="student",
        space=stages["space"],
        choices=dict(tiny_space.first().choices),
        data=DataConfig(**stages["data"]),
        settings=TrainingSettings(
            epochs=6,
            batch_size=16,
            learning_rate=0.01,
            threads=1,
            tensorboard=False,
            distillation={"teacher": str(path)},
        ),
        seed=5,
        compile=False,
        folder=tmp_path / "student",
    )
    student = load_network(train_network(job)).network
    with torch.no_grad():
        learned = student(seen.apply(pixels))
    agreed = (learned.argmax(1) == logits.argmax(1)).float().mean().item()
    assert agreed > 0.5  # it never saw a label, and chance is a quarter
    lines = (tmp_path / "student" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-2])["step"] == 6 * (160 // 16)


def test_a_head_of_other_classes_is_not_a_probe(stages: dict, tmp_path: Path) -> None:
    summary = pretrained(stages, tmp_path, classes=7)
    assert summary["probe"] == "not written: the network has 7 classes, the data 4"
    assert not (tmp_path / "run" / "probe.safetensors").exists()

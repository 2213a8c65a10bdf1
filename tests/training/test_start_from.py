"""A supernet that begins with one network's weights, on the path of its architecture."""

from pathlib import Path

import pytest
import torch

from supernet import Supernet
from supernet.architecture_file import save_architecture
from supernet.files import UserError, load_weights
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.network_file import check_start, load_network, read_start
from training.pretraining.config import PretrainStage
from training.pretraining.run import pretrain
from training.supernet_file import load_supernet
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

PRETRAIN = {
    "method": "simclr", "epochs": 1, "batch_size": 16, "projection": 8, "learning_rate": 0.01,
    "threads": 1, "tensorboard": False, "neighbours": 5,
}  # fmt: skip


@pytest.fixture
def encoder(stages: dict, tiny_space: MobileNetGroups, tmp_path: Path) -> Path:
    """Pre-trained weights of the architecture of one group everywhere but in one block."""
    chosen = {"block1.spatial": 1, "block2.spatial": 4, "block3.spatial": 1}
    save_architecture(tmp_path / "a.json", tiny_space, tiny_space.architecture(chosen))
    stage = PretrainStage(space=stages["space"], data=stages["data"], pretrain=PRETRAIN, seed=3)
    pretrain(stage, tmp_path / "a.json", tmp_path / "pretrained")
    return tmp_path / "pretrained" / "encoder.safetensors"


@pytest.mark.parametrize("sharing", ["independent", "nested", "sliced"])
def test_a_supernet_begins_with_an_encoder(
    stages: dict, tmp_path: Path, encoder: Path, sharing: str
) -> None:
    """So slow that nothing moves: the path has the encoder's weights; names of its own go too."""
    slow = {**stages["supernet"], "epochs": 1, "learning_rate": 1e-12, "sharing": sharing}

    def train(start: Path, name: str) -> Supernet:
        stage = SupernetStage(
            **{part: stages[part] for part in ("space", "data", "seed")},
            supernet={**slow, "start_from": start},
        )
        train_supernet(stage, tmp_path / name)
        return load_supernet(tmp_path / name)

    trained = load_network(encoder)
    supernet = train(encoder, "one")
    found = supernet.extract(trained.architecture).state_dict()
    for name, expected in trained.network.state_dict().items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-8)
    again = train(tmp_path / "one" / "supernet.safetensors", "two")
    for name, expected in supernet.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), expected, rtol=0, atol=1e-8)


def test_what_a_supernet_cannot_begin_with(
    stages: dict, tmp_path: Path, encoder: Path, tiny_space: MobileNetGroups
) -> None:
    def refused(message: str, **changes: object) -> None:
        space = space_from_description({**tiny_space.describe(), **changes})
        with torch.device("meta"):
            supernet = Supernet(space)
        with pytest.raises(UserError, match=message):
            check_start(encoder, supernet)

    refused("is another network in space 'mobilenet-groups' as it is here", classes=7)
    refused("4 is not a choice of 'block2.spatial'; choices are 1, 2", groups=[1, 2])
    with torch.device("meta"):
        check_start(encoder, Supernet(tiny_space))
    generated = {
        "name": "metapruning", "image_size": 16, "classes": 5, "width": 0.125, "stem": "small",
        "percents": (50, 100),
    }  # fmt: skip
    with torch.device("meta"):
        supernet = Supernet(space_from_description(generated), "generated")
    with pytest.raises(UserError, match="sharing 'generated' keeps no weights that it could"):
        check_start(encoder, supernet)


def test_factors_that_a_supernet_has_not_are_noted(
    stages: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = space_from_description(
        {
            "name": "spos-blocks", "image_size": 8, "in_channels": 1, "classes": 4,
            "stem_stride": 1, "stem_channels": 4, "stages": ((8, 2),), "last_channels": 12,
        }
    )  # fmt: skip
    save_architecture(tmp_path / "a.json", space, space.first())
    sections = {"space": space.describe(), "data": stages["data"], "seed": 3}
    stage = PretrainStage(**sections, pretrain=PRETRAIN)
    summary = pretrain(stage, tmp_path / "a.json", tmp_path / "pretrained")
    assert summary["probe"] == (
        "not written: the network's last layer has no bias, which the probe has"
    )
    path = tmp_path / "pretrained" / "encoder.safetensors"
    capsys.readouterr()
    read_start(path, Supernet(space))
    tensors, _ = load_weights(path)
    norms = sum(name.endswith("running_mean") for name in tensors)
    assert f"{2 * norms} factors and shifts of BatchNorms are left out" in capsys.readouterr().err

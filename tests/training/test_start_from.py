"""Supernets that begin with one network's weights, and networks that begin with a supernet's."""

from pathlib import Path

import pytest
import torch

from supernet import Supernet
from supernet.architecture import Architecture
from supernet.architecture_file import save_architecture
from supernet.files import UserError, load_weights, save_weights
from supernet.network import build
from supernet.sharing import Sharing
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups
from tests.supernet.spaces.every_space import CASES, SMALL_SPACES
from tests.training.loop.test_phases import job_of
from training.loop.starting_weights import check_start, read_start
from training.network_file import load_network
from training.network_training import train_network
from training.pretraining.config import PretrainStage
from training.pretraining.run import pretrain
from training.run_files.folder import RunFolder
from training.seeds import stream
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
            check_start(encoder, [supernet], supernet.space)

    refused("is another network in space 'mobilenet-groups' as it is here", classes=7)
    refused("4 is not a choice of 'block2.spatial'; choices are 1, 2", groups=[1, 2])
    with torch.device("meta"):
        check_start(encoder, [Supernet(tiny_space)], tiny_space)
    generated = {
        "name": "metapruning", "image_size": 16, "classes": 5, "width": 0.125, "stem": "small",
        "percents": (50, 100),
    }  # fmt: skip
    with torch.device("meta"):
        supernet = Supernet(space_from_description(generated), "generated")
    with pytest.raises(UserError, match="sharing 'generated' keeps no weights that it could"):
        check_start(encoder, [supernet], supernet.space)


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


def a_supernet(run: Path, case: str, sharing: Sharing) -> Supernet:
    """A finished run's, whose norms have statistics that are not those of a fresh network."""
    space = space_from_description(SMALL_SPACES[case])
    torch.manual_seed(1)
    supernet = Supernet(space, sharing)
    for k in range(3):
        supernet(torch.randn(4, space.decode(space.first()).in_channels, 16, 16), of(space, k))
    folder = RunFolder.open(run, "supernet", {"space": space.describe()})
    save_weights(run / "supernet.safetensors", supernet.state_dict(), {"sharing": sharing})
    folder.finish({"weights": "supernet.safetensors"})
    return supernet.eval()


def of(space: SearchSpace, k: int) -> Architecture:
    return space.sample(stream(k, "tests"))


@pytest.mark.parametrize(("case", "sharing"), CASES)
def test_a_network_begins_with_its_path_of_a_supernet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, sharing: Sharing
) -> None:
    supernet = a_supernet(tmp_path / "run", case, sharing)
    space, architecture = supernet.space, of(supernet.space, 2)
    images = torch.randn(4, space.decode(architecture).in_channels, 16, 16)
    expected = supernet(images, architecture)
    for start in (tmp_path / "run", tmp_path / "run" / "supernet.safetensors"):
        network = build(space.decode(architecture)).eval()
        assert not torch.equal(network(images), expected)
        check_start(start, [network], space)
        network.load_state_dict(read_start(start, network, space, architecture))
        assert torch.equal(network(images), expected)
        noted = "factors and shifts of BatchNorms begin as initialised" in capsys.readouterr().err
        assert noted == (not space.supernet_norms_affine)


def test_training_begins_with_the_path(stages: dict, tmp_path: Path) -> None:
    """So slow that nothing moves; a second supernet begins with the folder, too."""
    stage = {part: stages[part] for part in ("space", "data", "seed", "supernet")}
    train_supernet(SupernetStage(**stage), tmp_path / "run")
    supernet = load_supernet(tmp_path / "run")
    slow = {"start_from": tmp_path / "run", "epochs": 1, "learning_rate": 1e-12}
    path = train_network(job_of(stages, tmp_path / "on", **slow))
    trained = load_network(path)
    expected = dict(supernet.extract(trained.architecture).named_parameters())
    for name, found in trained.network.named_parameters():
        torch.testing.assert_close(found, expected[name], rtol=0, atol=1e-8)
    again = {**stage, "supernet": {**stages["supernet"], **slow}}
    train_supernet(SupernetStage(**again), tmp_path / "again")
    for name, found in load_supernet(tmp_path / "again").named_parameters():
        torch.testing.assert_close(found, supernet.get_parameter(name), rtol=0, atol=1e-8)


def test_what_a_network_cannot_begin_with(tmp_path: Path) -> None:
    supernet = a_supernet(tmp_path / "run", "mobilenet-groups", "nested")
    space = supernet.space
    network = build(space.decode(space.first()))
    weights = tmp_path / "run" / "supernet.safetensors"
    other = space_from_description({**space.describe(), "classes": 7})
    for start in (tmp_path / "run", weights):
        with pytest.raises(UserError, match="run: was trained on another space: classes is 7, not"):
            check_start(start, [network], other)
    (tmp_path / "moved.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises(UserError, match="outside its run folder"):
        check_start(tmp_path / "moved.safetensors", [network], space)
    with pytest.raises(UserError, match="not a run folder"):
        check_start(tmp_path, [network], space)
    RunFolder(tmp_path / "run", "supernet").record("summary", None)
    with pytest.raises(UserError, match="its supernet run is not finished"):
        check_start(tmp_path / "run", [network], space)

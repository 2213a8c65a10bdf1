"""A trained network on disk: it comes back as it was trained."""

import json
from pathlib import Path

import pytest
import torch

from supernet.binarization import Binarization
from supernet.blocks.building import set_binarization
from supernet.files import UserError, load_weights, save_weights
from supernet.files.image_view import View
from supernet.network import build
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.data.config import DataConfig
from training.data.normalisation import Normalisation
from training.network_file import TrainedNetwork, load_network, save_network

TWIN = Binarization(weights="real", activations="relu")


def saved(path: Path, space: MobileNetGroups, setting: Binarization) -> TrainedNetwork:
    torch.manual_seed(0)
    architecture = space.uniform(2)
    network = build(space.decode(architecture)).eval()
    set_binarization(network, setting)
    trained = TrainedNetwork(
        network, space, architecture, Normalisation((0.3,), (0.35,), 8), ("a", "b", "c", "d"),
        DataConfig(name="fashion-mnist-mini"), setting, view=View.usual(8, 1),
    )  # fmt: skip
    save_network(path, trained)
    return trained


def description(path: Path) -> dict:
    return json.loads(load_weights(path)[1]["evobit"])


@pytest.mark.parametrize("setting", [Binarization(), TWIN, Binarization(sign="swish", pad_value=1)])
def test_it_comes_back_under_its_setting(
    tiny_space: MobileNetGroups, tmp_path: Path, setting: Binarization
) -> None:
    before = saved(tmp_path / "network.safetensors", tiny_space, setting)
    after = load_network(tmp_path / "network.safetensors")
    assert after.binarization == setting
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(after.network(x), before.network(x))
    set_binarization(before.network, Binarization(activations="clip"))
    assert not torch.equal(after.network(x), before.network(x))


def test_the_default_is_not_written_and_may_be_absent(
    tiny_space: MobileNetGroups, tmp_path: Path
) -> None:
    saved(tmp_path / "default.safetensors", tiny_space, Binarization())
    saved(tmp_path / "twin.safetensors", tiny_space, TWIN)
    assert "binarization" not in description(tmp_path / "default.safetensors")
    found = description(tmp_path / "twin.safetensors")["binarization"]
    assert found == {"weights": "real", "activations": "relu"}


def test_weights_of_a_real_phase_are_the_next_phases(tiny_space: MobileNetGroups) -> None:
    spec = tiny_space.decode(tiny_space.uniform(2))
    first, second = build(spec), build(spec)
    set_binarization(first, TWIN)
    second.load_state_dict(first.state_dict(), strict=True)


def test_an_unknown_field_is_refused_with_the_file(
    tiny_space: MobileNetGroups, tmp_path: Path
) -> None:
    path = tmp_path / "network.safetensors"
    saved(path, tiny_space, TWIN)
    tensors, _ = load_weights(path)
    wrong = {**description(path), "binarization": {"wieghts": "real"}}
    save_weights(path, tensors, {"evobit": json.dumps(wrong)})
    with pytest.raises(UserError, match=r"network\.safetensors: .* no field 'wieghts'"):
        load_network(path)


def test_a_space_described_without_its_newest_option_is_read(
    tiny_space: MobileNetGroups, tmp_path: Path
) -> None:
    path = tmp_path / "network.safetensors"
    saved(path, tiny_space, Binarization())
    tensors, _ = load_weights(path)
    older = description(path)
    del older["space"]["rsign"]
    save_weights(path, tensors, {"evobit": json.dumps(older)})
    assert load_network(path).space == tiny_space

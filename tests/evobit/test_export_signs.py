"""`evobit export NETWORK`: a trained network whose binary weights are exactly -1 and +1."""

import json
import os
from pathlib import Path

import pytest
import torch

from evobit.main import run
from supernet.binarization import Binarization
from supernet.blocks.building import set_binarization
from supernet.files import load_weights
from supernet.files.image_view import View
from supernet.network import binary_parts
from supernet.spaces import space_from_description
from tests.deploy.networks import SMALL, random_network
from training.data import DataConfig
from training.data.normalisation import Normalisation
from training.data.test_part import open_test_part
from training.network_file import TrainedNetwork, load_network, save_network

DATA = DataConfig(name="fashion-mnist-mini")
DEFAULT = Binarization()
NAMES = open_test_part(DATA).class_names


def save(path: Path, binarization: Binarization = DEFAULT, data: DataConfig = DATA) -> str:
    space = space_from_description({"name": "mobilenet-groups", **SMALL})
    network = random_network(SMALL)
    set_binarization(network, binarization)
    seen = Normalisation((0.3,), (0.35,), 32)
    parts = (network, space, space.uniform(8), seen, NAMES, data, binarization)
    save_network(path, TrainedNetwork(*parts, view=View.usual(32, 1)))
    return str(path)


def classes(path: Path | str) -> torch.Tensor:
    trained = load_network(Path(path))
    pixels = open_test_part(DATA).read(torch.arange(100))[0]
    with torch.inference_mode():
        return trained.network((pixels / 255 - 0.3) / 0.35).argmax(1)


@pytest.mark.parametrize("setting", [DEFAULT, Binarization(pad_value=1, sign="ste")])
def test_weights_are_signs_and_all_else_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: Binarization
) -> None:
    original, exported = save(tmp_path / "n.safetensors", setting), tmp_path / "s.safetensors"
    assert run(["export", original, "-o", str(exported), "--images", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(exported) and found["bytes"] == exported.stat().st_size
    assert found["images"] == found["same_class"] == 60
    assert 0 < found["max_layer_error"] <= 1e-5
    assert (found["max_logit_difference"] > 1e-4) == (found["logits_differ"] > 0)

    before, after = load_network(Path(original)), load_network(exported)
    weights = [part.conv.weight for _, part in binary_parts(after.network)]
    assert found["binary_weights"] == sum(weight.numel() for weight in weights) > 0
    for (_, part), weight in zip(binary_parts(before.network), weights, strict=True):
        assert torch.equal(weight, torch.where(part.conv.weight >= 0, 1.0, -1.0))
    assert load_weights(exported)[1] == load_weights(original)[1]
    assert after.binarization == setting
    assert torch.equal(classes(exported), classes(original))


def test_the_new_file_is_scored_packed_and_exported_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original, exported = save(tmp_path / "n.safetensors"), str(tmp_path / "s.safetensors")
    assert run(["export", original, "-o", exported]) == 0
    capsys.readouterr()
    scores = []
    for path in (original, exported):
        assert run(["evaluate", path, "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out)["top1"])
    assert scores[1] == pytest.approx(scores[0], abs=0.1)  # 2 of 2,000 images

    model = str(tmp_path / "s.evobit")
    assert run(["pack", exported, "-o", model, "--images", "60"]) == 0
    capsys.readouterr()
    # The packed file of the signs against the network with the scale.
    assert run(["evaluate", model, "--against", original, "--json"]) == 0
    against = json.loads(capsys.readouterr().out)["against"]
    assert against["same_class_share"] >= 0.999 and against["untraced"] == 0

    again = tmp_path / "again.safetensors"
    assert run(["export", exported, "-o", str(again), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["max_logit_difference"] == 0
    assert again.read_bytes() == Path(exported).read_bytes()


def test_other_images_to_check_it_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    gone = DataConfig(name="imagefolder", root=tmp_path / "gone")
    original, exported = save(tmp_path / "n.safetensors", data=gone), tmp_path / "s.safetensors"
    assert run(["export", original, "-o", str(exported)]) == 2
    assert "to check the new file on other images, name a folder: --data DIR" in (
        capsys.readouterr().err
    )
    assert not exported.exists()
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(open_test_part(DATA).read(torch.arange(3))[0].numpy()):
        Image.fromarray(pixels[0]).save(tmp_path / "images" / f"{number}.png")
    options = ["--data", str(tmp_path / "images"), "--json"]
    assert run(["export", original, "-o", str(exported), *options]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 3


def test_what_computes_something_else_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import evaluate.shipping.sign_export

    def signs_alone(network):
        """Weights replaced by their signs, the norms left as they are."""
        folded = real(network)
        for (_, part), (_, own) in zip(binary_parts(folded), binary_parts(network), strict=True):
            part.norm.load_state_dict(own.norm.state_dict())
        return folded

    real = evaluate.shipping.sign_export.fold_scale
    monkeypatch.setattr(evaluate.shipping.sign_export, "fold_scale", signs_alone)
    exported = tmp_path / "s.safetensors"
    assert run(["export", save(tmp_path / "n.safetensors"), "-o", str(exported)]) == 1
    assert "layer 'block1_spatial' differs by" in capsys.readouterr().err
    assert not exported.exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["{n}", "-o", "{n}"], "is the checkpoint itself"),
        (["{n}", "-o", "{f}"], "is a folder, expected the name of a file"),
        (["{r}"], "real.safetensors: layer 'block1_spatial' has real weights and binary activ"),
        (["{m}"], "a packed model holds signs already"),
        (["{j}"], "best.json: cannot be read"),
        (["{n}", "--limit", "max_ops=1e6"], "--limit is for a search's run folder; "),
        (["{n}", "--pareto"], "--pareto is for a search's run folder; "),
        (["{n}", "--images", "0"], "images"),
        (["{n}", "--data", "{f}/empty"], "expected a folder with images"),
        (["{f}", "--data", "{f}"], "--data is for a trained network's file; "),
        (["{f}", "--images", "5"], "--images is for a trained network's file; "),
        (["none.safetensors"], "none.safetensors: not found, expected a search's run f"),
    ],
)
def test_wrong_input_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch, arguments: list[str], part: str
) -> None:
    from deploy import packed_file
    from deploy.lowering.network import pack

    folder, work = tmp_path / "files", tmp_path / "work"
    (folder / "empty").mkdir(parents=True)
    work.mkdir()
    places = {
        "f": folder,
        "n": save(folder / "n.safetensors"),
        "r": save(folder / "real.safetensors", Binarization(weights="real")),
        "m": folder / "m.evobit",
        "j": folder / "best.json",
    }
    packed_file.save(folder / "m.evobit", pack(random_network(SMALL), (0.3,), (0.3,), NAMES))
    (folder / "best.json").write_text('{"format": "evobit/architecture"}')
    monkeypatch.chdir(work)
    before = (folder / "n.safetensors").read_bytes()
    assert run(["export", *(text.format(**places) for text in arguments)]) == 2
    printed = capsys.readouterr()
    assert part in printed.err and len(printed.err.splitlines()) == 1
    assert os.listdir(work) == [] and (folder / "n.safetensors").read_bytes() == before


def test_one_wrong_layer_is_found_and_turned_signs_are_none() -> None:
    from evaluate.shipping.sign_export import layer_errors
    from supernet.exact_signs import fold_scale
    from supernet.network import build
    from supernet.networks import network_spec
    from tests.supernet.test_exact_signs import settled

    torch.manual_seed(0)
    network = settled(build(network_spec("bireal-50", image_size=32, classes=5))).float()
    folded, images = fold_scale(network), torch.randn(4, 3, 32, 32)
    errors = layer_errors(network, folded, images)
    assert list(errors) == [name for name, _ in binary_parts(network)]
    assert max(errors.values()) <= 1e-5  # although signs of later layers may have turned
    wrong = list(errors)[7]
    folded.get_submodule(wrong).norm.bias.data[3] += 0.5
    errors = layer_errors(network, folded, images)
    assert [name for name, error in errors.items() if error > 1e-5] == [wrong]
    network.get_submodule(wrong).norm.bias.data[3] = torch.nan
    assert layer_errors(network, folded, images)[wrong] == torch.inf

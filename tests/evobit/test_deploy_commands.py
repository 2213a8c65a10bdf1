"""`pack`, `predict`, `bench` and `evaluate` on a packed model, through the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from deploy import packed_file
from evobit.main import run
from supernet.files.image_view import View
from supernet.spaces import space_from_description
from tests.deploy.networks import SMALL, random_network
from training.data import DataConfig
from training.data.normalisation import Normalisation
from training.data.test_part import open_test_part
from training.network_file import TrainedNetwork, save_network

NAMES = open_test_part(DataConfig(name="fashion-mnist-mini")).class_names


def save_random_network(path: Path, data: DataConfig, change=lambda network: None) -> Path:
    """A network file as `retrain` writes it, with random weights."""
    space = space_from_description({"name": "mobilenet-groups", **SMALL})
    network = random_network(SMALL)
    change(network)
    seen = Normalisation((0.3,), (0.35,), 32)
    trained = TrainedNetwork(
        network,
        space,
        space.uniform(8),
        seen,
        NAMES,
        data,
        view=View.usual(32, 1),
    )
    save_network(path, trained)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its packed model, and three images."""
    folder = tmp_path_factory.mktemp("deploy")
    checkpoint = save_random_network(
        folder / "network.safetensors", DataConfig(name="fashion-mnist-mini")
    )
    assert run(["pack", str(checkpoint), "-o", str(folder / "m.evobit"), "--images", "100"]) == 0
    (folder / "images").mkdir()
    pixels = open_test_part(DataConfig(name="fashion-mnist-mini")).read(torch.arange(3))[0]
    for number, image in enumerate(pixels.numpy()):
        Image.fromarray(image[0]).save(folder / "images" / f"{number}.png")
    return folder


def test_pack_says_what_it_checked(folder, tmp_path, capsys):
    target = tmp_path / "again.evobit"
    assert run(["pack", str(folder / "network.safetensors"), "-o", str(target), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["same_class"] == found["images"] == 200
    assert found["untraced"] == 0
    assert found["max_operation_error"] <= 1e-5
    assert found["bytes"] == target.stat().st_size
    assert target.read_bytes() == (folder / "m.evobit").read_bytes()


def test_predict_gives_what_the_network_gives(folder, capsys):
    arguments = ["predict", str(folder / "m.evobit"), str(folder / "images"), "--top", "3"]
    assert run([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [len(one["top"]) for one in printed["predictions"]] == [3, 3, 3]
    network = packed_file.load(folder / "m.evobit")
    pixels = open_test_part(DataConfig(name="fashion-mnist-mini")).read(torch.arange(3))[0]
    expected = [NAMES[i] for i in network(pixels).argmax(1)]
    assert [one["top"][0]["class"] for one in printed["predictions"]] == expected
    assert run(arguments) == 0
    assert expected[0] in capsys.readouterr().out


def test_predict_loads_no_torch(folder):
    if packed_file.load(folder / "m.evobit").backend["backend"] != "native":
        pytest.skip("the compiled kernels are not installed")
    code = (
        "import sys; from evobit.main import run\n"
        "code = run(['predict', *sys.argv[1:]])\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "sys.exit(code)"
    )
    image = str(folder / "images" / "0.png")
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "m.evobit"), image],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_bench_measures_and_names_what_ran(folder, capsys):
    assert run(["bench", str(folder / "m.evobit"), "--rounds", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["latency_ms"] < 1e4
    assert found["spread"] >= 0
    assert found["torch_fp32_ratio"] > 0
    assert found["threads"] == 1
    assert "isa" in found
    layers = [layer for layer in found["layers"] if layer["name"] == "block1_spatial"]
    assert len(layers) == 1


def test_evaluate_scores_a_packed_model_and_compares_it(folder, capsys):
    checkpoint = str(folder / "network.safetensors")
    assert run(["evaluate", checkpoint, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    model = str(folder / "m.evobit")
    assert run(["evaluate", model, "--against", checkpoint, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == expected["images"] == 2000
    assert found["top1"] == pytest.approx(expected["top1"], abs=0.1)  # 2 of 2,000 images
    assert found["against"]["same_class_share"] >= 0.999
    assert found["against"]["untraced"] == 0


def test_data_that_is_not_there_is_replaced_by_a_folder(folder, tmp_path, capsys):
    data = DataConfig(name="imagefolder", root=tmp_path / "gone")
    checkpoint = str(save_random_network(tmp_path / "n.safetensors", data))
    target = tmp_path / "n.evobit"
    assert run(["pack", checkpoint, "-o", str(target)]) == 2
    assert "--data DIR" in capsys.readouterr().err
    assert not target.exists()
    assert run(["pack", checkpoint, "-o", str(target), "--data", str(folder / "images")]) == 0
    assert target.exists()


def test_a_packed_network_that_computes_something_else_is_not_written(
    folder, tmp_path, capsys, monkeypatch
):
    import evaluate.shipping.packing

    def pack_wrongly(network, *rest):
        network = random_network(SMALL)
        network.get_submodule("block4_spatial").conv.weight.data[3, 0, 1, 1] *= -1
        return real(network, *rest)

    real = evaluate.shipping.packing.pack
    monkeypatch.setattr(evaluate.shipping.packing, "pack", pack_wrongly)
    target = tmp_path / "wrong.evobit"
    assert run(["pack", str(folder / "network.safetensors"), "-o", str(target)]) == 1
    assert "first 'block4_spatial'" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["pack", "none.safetensors"], "none.safetensors"),
        (["pack", "{n}", "-o", "{n}"], "is the checkpoint itself"),
        (["pack", "{n}", "-o", "x.evobit", "--data", "{f}/empty"], "expected a folder with images"),
        (["predict", "none.evobit", "x.png"], "none.evobit: cannot be read"),
        (["predict", "{n}", "x.png"], "expected format 'evobit/packed'"),
        (["predict", "{f}/images/0.png", "x.png"], "damaged); expected what 'evobit pack' writes"),
        (["predict", "{m}", "x.png"], "x.png: no such file"),
        (["predict", "{f}", "x.png"], "is a folder, expected a file"),
        (["pack", "{f}"], "is a folder, expected a file"),
        (["pack", "{n}", "-o", "{f}"], "is a folder, expected the name of a file"),
        (["predict", "{m}", "{f}/empty"], "expected a folder with images"),
        (
            ["predict", "zoo:none", "x.png"],
            "the zoo has no such model; it has fashion-mnist-groups",
        ),
        (["bench", "{n}"], "expected format"),
        (["bench", "{m}", "--threads", "0"], "threads"),
        (["evaluate", "{m}"], "--against CHECKPOINT"),
        (["evaluate", "{n}", "--against", "{n}"], "no packed model"),
        (["evaluate", "{m}", "--against", "{m}"], "expected format 'evobit/network'"),
    ],
)
def test_wrong_input_is_refused(folder, tmp_path, capsys, monkeypatch, arguments, part):
    monkeypatch.chdir(tmp_path)
    (folder / "empty").mkdir(exist_ok=True)
    places = {"n": folder / "network.safetensors", "m": folder / "m.evobit", "f": folder}
    assert run([text.format(**places) for text in arguments]) == 2
    assert part in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_pack_writes_over_an_old_model_only_when_it_is_right(folder, tmp_path):
    target = tmp_path / "m.evobit"
    target.write_bytes(b"old")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deploy.packed_file.atomic_write", _fails)
        assert run(["pack", str(folder / "network.safetensors"), "-o", str(target)]) == 1
    assert target.read_bytes() == b"old"


def _fails(path):
    raise OSError(28, "No space left on device")


def test_the_zoos_network_knows_clothes(capsys):
    network = packed_file.load("zoo:fashion-mnist-groups")
    pixels, labels = open_test_part(DataConfig(name="fashion-mnist-mini")).read(torch.arange(2000))
    right = (torch.from_numpy(network(pixels)).argmax(1) == labels).float().mean()
    # 89.9 % on all 10,000 test images; of 2,000 the standard deviation is
    # (0.899 x 0.101 / 2,000)^0.5 = 0.67 %, three of which are 2.0 %.
    assert 0.879 < right < 0.919


def test_an_unreadable_image_hides_no_other(folder, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no image")
    good = str(folder / "images" / "0.png")
    arguments = ["predict", str(folder / "m.evobit"), str(tmp_path / "broken.png"), good, "--json"]
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert [one["image"] for one in json.loads(printed.out)["predictions"]] == [good]
    assert "broken.png: cannot be decoded" in printed.err


def test_a_packed_model_is_known_by_its_content(folder, tmp_path, capsys):
    copy = tmp_path / "model.safetensors"
    copy.write_bytes((folder / "m.evobit").read_bytes())
    data = tmp_path / "data"
    for name in ("T-shirt-top", "Bag"):  # the class is "T-shirt/top", which is no folder's name
        (data / name).mkdir(parents=True)
        (data / name / "0.png").write_bytes((folder / "images" / "0.png").read_bytes())
    assert run(["evaluate", str(copy), "--data", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2

"""`evobit export NETWORK --format`: a trained network for other programs, checked by them."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deploy import packed_file
from deploy.exporters import FORMATS
from deploy.lowering.network import pack
from evaluate.shipping import c_exporting
from evobit.commands.export import Format
from evobit.main import run
from supernet.files.image_view import View
from supernet.network import Network, build
from supernet.spaces import space_from_description
from tests.deploy.networks import SMALL, random_network
from tests.supernet.spaces.every_space import SMALL_SPACES
from training.data import DataConfig
from training.data.normalisation import Normalisation
from training.data.test_part import open_test_part
from training.network_file import TrainedNetwork, load_network, save_network

DATA = DataConfig(name="fashion-mnist-mini")
NAMES = open_test_part(DATA).class_names
PIXELS = open_test_part(DATA).read(torch.arange(40))[0]
SEEN = Normalisation((0.3,), (0.35,), 32)
GREY = {"image_size": 32, "classes": 10, "in_channels": 1}
DENSE = {"name": "network", "network": "bireal-18", **GREY}


def save(path: Path, description: dict | None = None) -> Path:
    """A network file of random weights and settled statistics."""
    if description is None:
        space = space_from_description({"name": "mobilenet-groups", **SMALL})
        network, architecture = random_network(SMALL), space.uniform(8)
    else:
        space = space_from_description(description)
        architecture = space.smallest()
        network = settled(build(space.decode(architecture)))
    view = View.usual(network.spec.image_size, network.spec.in_channels)
    trained = TrainedNetwork(network, space, architecture, SEEN, NAMES, DATA, view=view)
    save_network(path, trained)
    return path


def settled(network: Network) -> Network:
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(normalised(PIXELS))
    return network.eval()


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    padded = torch.nn.functional.interpolate(pixels.float(), (32, 32))
    return (padded / 255 - 0.3) / 0.35


def exported(source: Path, name: str, capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    for package in FORMATS[name].packages:
        pytest.importorskip(package)
    file = source.parent / FORMATS[name].file
    arguments = ["export", str(source), "--format", name, "-o", str(file), "--json", *options]
    assert run(arguments) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("description", "name"),
    [
        # torch.export takes 9 s of the larger network, twice, and sees nothing new in it.
        pytest.param(None, name, marks=pytest.mark.long) if name == "torch" else (None, name)
        for name in FORMATS
    ]
    + [(SMALL_SPACES["wide-binary"] | GREY, name) for name in FORMATS],
)
def test_classes_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, description: dict | None
) -> None:
    source = save(tmp_path / "n.safetensors", description)
    found = exported(source, name, capsys, "--images", "30")
    assert found["format"] == name and found["images"] == found["same_class"] == 30
    assert found["untraced"] == 0 and 0 < len(found["files"]) <= 2
    assert found["bytes"] == sum(Path(file).stat().st_size for file in found["files"])
    assert (found["max_logit_difference"] > 1e-4) == (found["logits_differ"] > 0)
    assert found["max_logit_difference"] == 0 or FORMATS[name].of_plan
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["n.safetensors", *(Path(file).name for file in [*found["files"], found["card"]])]
    )
    again = exported(source, name, capsys, "--images", "30")  # over the files
    assert again == found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_dense_network_of_the_literature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    found = exported(save(tmp_path / "n.safetensors", DENSE), name, capsys, "--images", "8")
    assert found["same_class"] == 8 and found["untraced"] == 0
    assert found.get("layers_on_bits", 16) == 16  # of Bi-Real-18: 4 stages x 4 convolutions


def test_the_onnx_file_alone_suffices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    source = save(tmp_path / "n.safetensors")
    (file,) = exported(source, "onnx", capsys)["files"]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["class_names"]) == list(NAMES)
    mean, std = (np.float32(json.loads(told[name]))[:, None, None] for name in ("mean", "std"))
    network = load_network(source).network
    for count in (1, 40):
        pixels = torch.nn.functional.interpolate(PIXELS[:count].float(), (32, 32))
        images = ((pixels.numpy() / np.float32(255) - mean) / std).astype(np.float32)
        (logits,) = session.run(["logits"], {"images": images})
        with torch.inference_mode():
            expected = network(torch.from_numpy(images))
        assert (torch.from_numpy(logits).argmax(1) == expected.argmax(1)).all()


def test_a_packed_model_is_exported_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    model, images, file = tmp_path / "m.evobit", tmp_path / "images", tmp_path / "m.onnx"
    packed_file.save(model, pack(random_network(SMALL), SEEN.mean, SEEN.std, NAMES))
    arguments = ["export", str(model), "--format", "onnx", "-o", str(file), "--json"]
    assert run(arguments) == 2
    assert "a packed model names no data set; name a folder of images" in capsys.readouterr().err
    images.mkdir()
    for number, pixels in enumerate(PIXELS[:6].numpy()):
        Image.fromarray(pixels[0]).save(images / f"{number}.png")
    assert run([*arguments, "--data", str(images)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == found["same_class"] == 6 and file.exists()
    assert run(["export", str(model), "--format", "torch", "-o", f"{file}.pt2"]) == 2
    assert "takes a trained network, not a packed model" in capsys.readouterr().err


def test_what_computes_something_else_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    from deploy.exporters.onnx_model import OnnxGraph

    source, file = save(tmp_path / "n.safetensors"), tmp_path / "n.onnx"
    file.write_bytes(b"before")
    arguments = ["export", str(source), "--format", "onnx", "-o", str(file), "--images", "20"]
    # Slopes left out, as a program without PReLU might.
    monkeypatch.setattr(OnnxGraph, "prelu", lambda self, name, x, slope: x)
    assert run(arguments) == 1
    message = capsys.readouterr().err
    assert "n.onnx is not written: in onnxruntime" in message and " of 20 images" in message
    assert file.read_bytes() == b"before"


def test_a_torch_program_may_not_differ_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.exporters import torch_program

    real = torch_program.loaded
    monkeypatch.setattr(torch_program, "loaded", lambda content: lambda x: real(content)(x) + 1e-5)
    file = tmp_path / "n.pt2"
    source = save(tmp_path / "n.safetensors", SMALL_SPACES["wide-binary"] | GREY)
    arguments = ["export", str(source), "-o", str(file), "--images", "9"]
    assert run([*arguments, "--format", "torch"]) == 1
    assert "9 of 9 images keep their class; 9 differ without a sign" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize("name", [name for name in FORMATS if FORMATS[name].of_plan])
def test_what_cannot_be_exported_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for package in FORMATS[name].packages:
        pytest.importorskip(package)
    source = save(tmp_path / "n.safetensors", SMALL_SPACES["spos-blocks"] | GREY)
    file = tmp_path / FORMATS[name].file
    assert run(["export", str(source), "--format", name, "-o", str(file)]) == 2
    line = capsys.readouterr().err
    assert "n.safetensors: block 'block1' (ShuffleBlockSpec): there is no packed operation" in line
    assert "--format torch takes any network" in line and not file.exists()


def test_a_missing_package_is_wrong_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.chdir(tmp_path)
    assert run(["export", str(save(tmp_path / "n.safetensors")), "--format", "onnx"]) == 2
    line = capsys.readouterr().err
    assert "pip install 'evobit[onnx]'" in line and len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["{n}", "--format", "onnx", "-o", "n.pt2"], "a file of --format onnx ends in .onnx"),
        (["{n}", "--format", "openvino", "-o", "n"], "a file of --format openvino ends in .xml"),
        (["{n}", "--format", "tflite"], "tflite"),
        (["{f}", "--format", "torch"], "--format is for a trained network's file"),
        (["{n}", "--format", "torch", "-o", "{o}/d.pt2"], "is a folder"),
        (["{b}", "--format", "torch"], "cannot be read"),
        (["{n}", "--format", "openvino", "-o", "{n}"], "ends in .xml"),
        (["{s}", "--format", "openvino", "-o", "same.xml"], "same.bin: is the checkpoint itself"),
    ],
)
def test_wrong_input_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    part: str,
) -> None:
    source, folder = save(tmp_path / "n.safetensors"), tmp_path / "files"
    (folder / "d.pt2").mkdir(parents=True)
    (tmp_path / "bad.safetensors").write_bytes(b"no network")
    (tmp_path / "same.bin").write_bytes(source.read_bytes())
    places = {"n": source, "f": folder, "o": folder, "b": tmp_path / "bad.safetensors"}
    places["s"] = tmp_path / "same.bin"
    monkeypatch.chdir(tmp_path)
    assert run(["export", *(text.format(**places) for text in arguments)]) == 2
    printed = capsys.readouterr()
    assert part in printed.err and len(printed.err.splitlines()) == 1


def test_c_sources_are_compiled_and_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    source, folder = save(tmp_path / "my net.safetensors"), tmp_path / "c"
    arguments = ["export", str(source), "--format", "c", "-o", str(folder), "--json"]
    assert run([*arguments, "--images", "40"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == found["same_class"] == 40 and found["max_logit_difference"] < 1e-4
    assert {Path(file).parent for file in found["files"]} == {folder}
    before = {file: Path(file).read_bytes() for file in found["files"]}
    assert run(arguments) == 0  # over an earlier export
    assert {file: Path(file).read_bytes() for file in found["files"]} == before
    capsys.readouterr()

    (folder / "notes.txt").touch()
    assert run(arguments) == 2
    assert "holds notes.txt; expected an empty folder" in capsys.readouterr().err

    # A program that gives something else is not kept.
    def shuffled(program: Path, pixels: torch.Tensor) -> np.ndarray:
        return np.roll(logits(program, pixels), 1, axis=1)

    logits = c_exporting._logits
    monkeypatch.setattr(c_exporting, "_logits", shuffled)
    assert run([*arguments[:4], "-o", str(tmp_path / "other")]) == 1
    assert "of 200 images their class" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_c_sources_without_a_compiler_are_not_run_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.shipping.c_exporting.shutil.which", lambda name: None)
    source, folder = save(tmp_path / "n.safetensors"), tmp_path / "c"
    assert run(["export", str(source), "--format", "c", "-o", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["checked_with"] == "not run: no C compiler (cc) here" and found["images"] == 0
    assert (folder / "model.c").exists()


def test_the_command_offers_every_format() -> None:
    assert set(FORMATS) | {"signs", "c"} == {format.value for format in Format}

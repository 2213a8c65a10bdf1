"""The models that come with evobit: listed with their figures, and used by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from deploy import packed_file
from deploy.card_file import card_path, described, read_card
from deploy.packed_file import find_model
from deploy.zoo_models import zoo_models
from evobit.main import run
from training.data import DataConfig
from training.data.test_part import open_test_part

NAMES = [path.stem for path in sorted(packed_file.ZOO.glob("*.evobit"))]
PIXELS, LABELS = open_test_part(DataConfig(name="fashion-mnist-mini")).read(torch.arange(2000))


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_a_card_with_an_honest_score(name: str) -> None:
    path = find_model(f"zoo:{name}")
    assert path.stat().st_size < 150_000
    card = read_card(card_path(path))
    assert card is not None and card.facts["files"] == [described(path)]
    network = packed_file.load(path)
    assert tuple(card.facts["classes"]) == network.class_names
    assert card.facts["accuracy"]["split"] == "test"
    assert network.parameters.bits.nbytes * 8 >= card.facts["costs"]["binary_parameters"]
    right = (torch.from_numpy(network(PIXELS)).argmax(1) == LABELS).float().mean()
    # 2,000 of the 10,000 test images: 0.9 % standard deviation.
    assert abs(100 * right - card.facts["accuracy"]["top1"]) < 4 * 0.9


def test_the_list_says_what_ships(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["zoo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["models"]
    assert [model["name"] for model in found] == [f"zoo:{name}" for name in NAMES]
    assert len(found) >= 2 and all(model["accuracy"]["top1"] > 70 for model in found)
    assert run(["zoo"]) == 0
    text = capsys.readouterr().out
    assert (
        "test split of fashion-mnist" in text and "ops 54,208" in text
    )  # OPs of the finalist [README]


def test_a_model_whose_card_was_edited_is_listed_without_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(packed_file.ZOO, tmp_path / "zoo")
    monkeypatch.setattr("deploy.zoo_models.ZOO", tmp_path / "zoo")
    card = tmp_path / "zoo" / f"{NAMES[0]}.evobit.md"
    card.write_text(card.read_text().replace("7", "9"))
    first, second = zoo_models()[:2]
    assert set(first) == {"name", "bytes"} and "accuracy" in second
    assert run(["zoo"]) == 0
    assert "its card is not there, or was edited" in capsys.readouterr().out


def test_a_model_is_used_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = f"zoo:{NAMES[0]}"
    Image.fromarray(PIXELS[0, 0].numpy()).save("image.png")
    assert run(["predict", model, "image.png", "--json"]) == 0
    assert run(["bench", model, "--rounds", "3", "--no-torch"]) == 0
    capsys.readouterr()
    if shutil.which("cc") is not None:
        assert run(["export", model, "--format", "c", "-o", "c", "--images", "20", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["same_class"] == found["images"] == 20
        card, shipped = read_card(Path("c/CARD.md")), read_card(card_path(find_model(model)))
        assert card is not None and card.facts["kind"] == "c" and shipped is not None
        assert card.sections["Accuracy"] == shipped.sections["Accuracy"]
        assert card.sections["Training"] == shipped.sections["Training"]
        assert "search split of fashion-mnist-mini: 20 of 20" in card.sections["Check"]
    pytest.importorskip("onnxruntime")
    assert run(["export", model, "--format", "onnx", "-o", "m.onnx", "--images", "20"]) == 0
    assert read_card(Path("m.onnx.md")) is not None


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["predict", "zoo:none", "image.png"], f"it has {', '.join(NAMES)}"),
        (["bench", "zoo:none"], f"it has {', '.join(NAMES)}"),
        (["export", "zoo:none", "--format", "c"], f"it has {', '.join(NAMES)}"),
        (["export", f"zoo:{NAMES[0]}"], "a packed model holds signs already"),
        (["predict", NAMES[0], "x.png"], f"did you mean 'zoo:{NAMES[0]}'?"),
    ],
)
def test_wrong_input_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    assert part in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

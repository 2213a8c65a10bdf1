"""`pack` and `export` write cards of facts alone: those of the file and of the run it lies in."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from deploy.card_file import Card, card_path, read_card
from evobit.main import run
from supernet.architecture_file import save_architecture
from supernet.spaces import space_from_description


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, bars: Path) -> Path:
    """One network that a real run trained."""
    folder = tmp_path_factory.mktemp("cards")
    space = {"name": "mobilenet-groups", "image_size": 8, "classes": 4, "in_channels": 1}
    space |= {"width": 0.25, "stem_stride": 1, "groups": [1, 2], "blocks": [[64, 1], [128, 1]]}
    training = {"epochs": 1, "seeds": 2, "uniform": 1, "random": 0, "batch_size": 16}
    config = {
        "space": space,
        "data": {"name": f"{bars}:read", "image_size": 8, "search_fraction": 0.2},
        "retrain": {**training, "tensorboard": False, "compile": "off", "threads": 1},
        "seed": 3,
    }
    config["retrain"]["augment"] = {"mix": [{"name": "mixup", "probability": 0.5}]}
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(config))
    described = space_from_description(space)
    architecture = described.uniform(2)
    save_architecture(folder / "a.json", described, architecture)
    arguments = ["retrain", str(file), str(folder / "a.json"), "--run", str(folder / "run")]
    assert run(arguments) == 0
    return folder / "run" / "networks" / f"{architecture.id}-seed0" / "network.safetensors"


def card_of(path: Path) -> Card:
    card = read_card(path)
    assert card is not None
    return card


def test_a_card_says_what_file_and_run_say(network: Path, tmp_path: Path, capsys) -> None:
    model = tmp_path / "m.evobit"
    arguments = ["pack", str(network), "-o", str(model), "--images", "20", "--json"]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["card"] == str(tmp_path / "m.evobit.md")
    text = (tmp_path / "m.evobit.md").read_text()
    card = card_of(tmp_path / "m.evobit.md")
    score = json.loads((network.parent / "test_score.json").read_text())
    assert card.facts["accuracy"]["split"] == "test"
    assert card.facts["accuracy"]["top1"] == round(score["top1"], 4)
    assert card.facts["files"][0]["bytes"] == model.stat().st_size
    assert card.facts["origin"].endswith(", seed 0 of a run of stage retrain")
    assert card.facts["classes"] == ["a", "b", "c", "d"]
    manifest = json.loads((network.parents[2] / "manifest.json").read_text())
    for split in manifest["data"]["splits"].values():
        assert split["sha256"] in card.sections["Data"]
    row = manifest["summary"]["networks"][0]
    assert card.facts["origin"].startswith(row["name"])
    assert card.facts["costs"] == row["costs"]
    assert "all 2 seeds of this architecture" in card.sections["Accuracy"]
    assert "| epochs | 1 |" in card.sections["Training"]
    assert "mixup" in card.sections["Training"]
    assert "20 of 20 images keep their class" in card.sections["Check"]
    assert card.sections["Latency"].startswith("Not measured.")
    assert card.sections["Licence"] == "Code: Apache-2.0 (evobit). Weights: as you license them."
    # Nobody else's folders, and the same bytes again.
    assert str(network.parents[4]) not in text
    assert run(arguments) == 0
    assert (tmp_path / "m.evobit.md").read_text() == text


def test_the_licence_of_the_weights_goes_with_them(network: Path, tmp_path: Path) -> None:
    model, made = tmp_path / "m.evobit", tmp_path / "c"
    packed = ["pack", str(network), "-o", str(model), "--images", "20"]
    assert run([*packed, "--licence", "CC-BY-4.0, see LICENCE."]) == 0
    expected = "Code: Apache-2.0 (evobit). Weights: CC-BY-4.0, see LICENCE."
    assert card_of(card_path(model)).sections["Licence"] == expected
    assert _export_c(model, made, tmp_path) == 0
    assert card_of(card_path(made)).sections["Licence"] == expected
    card_path(model).unlink()
    assert _export_c(model, made, tmp_path) == 0
    assert card_of(card_path(made)).sections["Licence"].endswith(": as you license them.")


def _export_c(model: Path, made: Path, tmp_path: Path) -> int:
    images = tmp_path / "images" / "a"
    images.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), 7).save(images / "1.png")
    words = ["export", str(model), "--format", "c", "-o", str(made), "--data", str(images.parent)]
    return run(words)


def test_what_is_not_known_is_not_said(network: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "network.safetensors"
    copy.parent.mkdir()
    shutil.copy(network, copy)
    assert run(["pack", str(copy), "-o", str(tmp_path / "m.evobit"), "--images", "9"]) == 0
    card = card_of(tmp_path / "m.evobit.md")
    assert card.facts["accuracy"] is None and card.facts["origin"] is None
    assert card.sections["Accuracy"].endswith("calibration error: not measured.")
    assert card.sections["Training"].startswith("Not known")
    assert "| hashes of the splits | not known |" in card.sections["Data"]


def test_a_run_that_trained_another_network_is_not_its_origin(
    network: Path, tmp_path: Path
) -> None:
    other = tmp_path / "run"
    shutil.copytree(network.parents[2], other)
    manifest = json.loads((other / "manifest.json").read_text())
    choices = manifest["summary"]["networks"][0]["choices"]
    manifest["summary"]["networks"][0]["choices"] = {name: 99 for name in choices}
    (other / "manifest.json").write_text(json.dumps(manifest))
    copy = other / network.relative_to(network.parents[2])
    assert run(["pack", str(copy), "-o", str(tmp_path / "m.evobit"), "--images", "9"]) == 0
    assert card_of(tmp_path / "m.evobit.md").facts["origin"] is None


def test_cards_of_other_formats(network: Path, tmp_path: Path, capsys) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    model, images = tmp_path / "m.evobit", ["--images", "9"]
    assert run(["pack", str(network), "-o", str(model), *images]) == 0
    signs, program = tmp_path / "signs.safetensors", tmp_path / "n.pt2"
    assert run(["export", str(network), "-o", str(signs), *images]) == 0
    assert run(["export", str(network), "--format", "torch", "-o", str(program), *images]) == 0
    assert run(["export", str(network), "--format", "c", "-o", str(tmp_path / "c"), *images]) == 0
    found = [card_of(tmp_path / name) for name in ("m.evobit.md", "signs.safetensors.md")]
    found += [card_of(tmp_path / name) for name in ("n.pt2.md", "c/CARD.md")]
    assert [card.facts["kind"] for card in found] == ["packed", "signs", "torch", "c"]
    for card in found:
        assert card.sections["Training"] == found[0].sections["Training"]
        assert "9 of 9 images keep their class" in card.sections["Check"]
    assert {file["name"] for file in found[3].facts["files"]} > {"model.c", "model.h"}
    assert run(["export", str(network), "--format", "c", "-o", str(tmp_path / "c"), *images]) == 0


def test_no_card_and_an_edited_card(network: Path, tmp_path: Path, capsys) -> None:
    model, card = tmp_path / "m.evobit", tmp_path / "m.evobit.md"
    arguments = ["pack", str(network), "-o", str(model), "--images", "9"]
    assert run([*arguments, "--no-card"]) == 0
    assert not card.exists()
    card.write_text("# My own card\n")
    assert run(arguments) == 0
    assert card.read_text() == "# My own card\n"
    assert "m.evobit.md was edited and is left: the new card is" in capsys.readouterr().err
    assert card_of(tmp_path / "m.evobit.new.md").title == "m.evobit"
    assert run(["bench", str(model), "--rounds", "3", "--no-torch", "--card"]) == 2
    assert "m.evobit.md was edited, expected a card as" in capsys.readouterr().err


def test_bench_puts_its_time_into_the_card(network: Path, tmp_path: Path, capsys) -> None:
    model = tmp_path / "m.evobit"
    assert run(["pack", str(network), "-o", str(model), "--images", "9"]) == 0
    arguments = ["bench", str(model), "--rounds", "3", "--no-torch", "--card", "--json"]
    assert run(arguments) == 0
    capsys.readouterr()
    assert run(arguments) == 0  # measured anew
    found = json.loads(capsys.readouterr().out)
    latency = card_of(tmp_path / "m.evobit.md").sections["Latency"]
    assert f"| median, ms | {found['latency_ms']:.4g} |" in latency
    assert f"| threads | {found['threads']} |" in latency

"""`evobit preview`: the sheet, the shares of its labels, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from evobit.main import run
from training.preview import SIDE, SeenImage, sheet, words

CUTMIX = [{"name": "cutmix", "probability": 1}]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> dict:
    monkeypatch.chdir(tmp_path)
    stages["supernet"]["augment"] = {"mix": CUTMIX}
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    return stages


def previewed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert run(["preview", "tiny.yaml", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_sheet_and_its_shares(config: dict, capsys: pytest.CaptureFixture[str]) -> None:
    first = previewed(capsys, "--count", "10", "-o", "a.png")
    assert first["stage"] == "supernet" and first["sheet"] == "a.png"
    # Four of each step
    assert [image["step"] for image in first["images"]] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    for image in first["images"]:
        # 64 pixels: shares are whole 64ths, two classes at most
        assert sum(image["shares"].values()) == 1 and len(image["shares"]) <= 2
        assert all(share * 64 == int(share * 64) for share in image["shares"].values())
        assert image["shares"].keys() <= {"a", "b", "c", "d"}
    assert any(len(image["shares"]) == 2 for image in first["images"])
    with Image.open("a.png") as drawn:
        assert drawn.size[0] == 4 * (SIDE + 4) + 4
    again = previewed(capsys, "--count", "10", "-o", "b.png")
    assert again["images"] == first["images"]
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    other = previewed(capsys, "--count", "10", "--set", "seed=9")
    assert other["sheet"] == "tiny-supernet.png" and other["images"] != first["images"]


def test_another_stage_and_images_that_are_not_mixed(
    config: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    found = previewed(capsys, "--stage", "retrain")
    assert found["stage"] == "retrain" and len(found["images"]) == 16
    assert all(list(image["shares"].values()) == [1] for image in found["images"])
    Path("tiny.yaml").write_text(
        yaml.safe_dump({name: config[name] for name in ("space", "data", "retrain")})
    )
    assert previewed(capsys)["stage"] == "retrain"
    # One step of 16 images: no more than that can be shown of it.
    short = ("--set", "retrain.epochs=1", "--set", "retrain.batch_size=160", "--count", "200")
    assert len(previewed(capsys, *short)["images"]) == 160


def test_the_images_are_those_of_the_first_step(
    config: dict,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """What a run of this config trains on first is what the sheet shows."""
    from training.loop import supervised
    from training.supernet_stage import SupernetStage
    from training.supernet_training import train_supernet

    seen: list[torch.Tensor] = []

    def first_step(paths, module, optimiser, x, labels, *others):  # type: ignore[no-untyped-def]
        seen.append(labels)
        raise SystemExit

    monkeypatch.setattr(supervised, "training_step", first_step)
    sections = {name: config[name] for name in ("space", "data", "supernet", "seed")}
    with pytest.raises(SystemExit):
        train_supernet(SupernetStage.model_validate(sections), tmp_path / "run")
    for image, row in zip(previewed(capsys)["images"][:4], seen[0].tolist(), strict=False):
        assert image["shares"] == {
            name: share for name, share in zip("abcd", row, strict=True) if share
        }


def test_a_wrong_mix_is_one_line(config: dict, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value, expected in (
        ("mix", "[{name: cutmix, probability: 1, alhpa: 2}]", "did you mean 'supernet.augment.mix"),
        ("mix", "[{name: cutmix, probability: 0.7}, {name: mixup, probability: 0.7}]", "up to 1.4"),
        ("erase", "{name: cutout, probability: 1}", "cutout needs size"),
    ):
        assert run(["preview", "tiny.yaml", "--set", f"supernet.augment.{name}={value}"]) == 2
        error = capsys.readouterr().err
        assert expected in error and error.count("\n") == 1
    assert not list(Path().glob("*.png"))


def test_words_and_sheets_of_any_names_and_channels() -> None:
    assert words({"cat": 0.25, "dog": 0.75}) == ["75.0 % dog", "25.0 % cat"]
    for channels in (1, 3):
        seen = [SeenImage(0, torch.full((channels, 200, 200), 7, dtype=torch.uint8), {"猫": 1.0})]
        drawn = sheet(seen)
        assert drawn.getpixel((10, 10)) == (7, 7, 7)
        assert drawn.size[1] > 200 + 12

"""One rule says which files are images, and what is left out is said, in every command."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image, features

from evobit.main import run
from supernet.files.image_formats import PLUGINS

MODEL = "zoo:fashion-mnist-groups"
IMAGES = ("1.png", "2.jfif", "3.JPEG", "4.webp", "5.bmp", "6.tif", "7.gif", "8.jp2", "9.ppm")
OTHERS = ("10.txt", "11.heic" if not any(map(find_spec, PLUGINS)) else "11.cr2", "noext", "12.cr2")
HIDDEN = (".DS_Store", "._1.png", "@eaDir/1.png", "Thumbs.db", ".ipynb_checkpoints/1.png")
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "predict": lambda folder: ["predict", MODEL, str(folder)],
    "evaluate": lambda folder: ["evaluate", MODEL, "--data", str(folder)],
    "cache": lambda folder: ["cache", str(folder), "--size", "32"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = (*IMAGES, "13.avif") if features.check("avif") else IMAGES
    for name in ("Trouser", "Sandal"):
        for file in (*OTHERS, *HIDDEN):
            (tmp_path / "set" / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / name / file).write_text("x")
        for file in images:
            Image.new("RGB", (32, 32), (9, 90, 9)).save(tmp_path / "set" / name / file)
    return tmp_path / "set"


def images_of(document: dict) -> int:
    if "predictions" in document:
        return len(document["predictions"])
    if "images" in document:
        return document["images"]
    header = json.loads((Path(document["cache"]) / "cache.json").read_text())
    return sum(len(part["names"]) for part in header["parts"].values())


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_image_is_said_once_by_kind(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = 2 * (len(IMAGES) + bool(features.check("avif")))
    assert run([*COMMANDS[command](folder), "--json"]) == 0
    out, err = capsys.readouterr()
    assert images_of(json.loads(out)) == expected
    (line,) = (line for line in err.splitlines() if "left out" in line)
    assert line.startswith(f"{folder}: left out, as no images: ")
    said = line.partition("images: ")[2].split(", ")
    kinds = {Path(name).suffix or "no suffix" for name in OTHERS}
    assert {one.partition(" ")[2] for one in said} == {*kinds, "hidden or of the system"}
    assert "6 hidden or of the system" in said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["Bag", "Trouser/1.jpg", "Trouser/more"])
def test_a_link_that_leads_nowhere_is_named(
    folder: Path, command: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / place).symlink_to("/nowhere/at/all")
    assert run(COMMANDS[command](folder)) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line == f"evobit: {folder / place}: a link to /nowhere/at/all, which is not there"


def test_images_beside_the_class_folders_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (32, 32)).save(folder / "loose.png")
    assert run([*COMMANDS["evaluate"](folder), "--json"]) == 0
    assert "1 .png in no class folder" in capsys.readouterr().err


def test_a_class_that_leads_to_another_s_images_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "Bag").symlink_to("Trouser")
    assert run(COMMANDS["evaluate"](folder)) == 2
    assert "Trouser: is the folder of class 'Bag' by a link" in capsys.readouterr().err

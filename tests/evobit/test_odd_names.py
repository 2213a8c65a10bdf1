"""Names that people and strangers give: trained, packed, exported; or refused, as no text."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from deploy import packed_file
from deploy.card_file import read_card
from deploy.engine.packed_network import PackedNetwork
from deploy.plan.plan import Plan
from evobit.main import run
from supernet.files import PARTIAL, UserError
from supernet.spec import HeadSpec, NetworkSpec

NAMES = (
    *("a\nb", 'it\'s "quoted"', "\x1b[31mred\ttab", "\u65e5\u672c \u202e", "back\\slash |x| `y`"),
    *("  spaces  ", "$(touch x); *", "??=%s%n", "<b>&amp;", "---", "x" * 200),
)
NO_TEXT = "caf\udce9"
"""As Python has the bytes of a name in Latin-1."""
HUGE = "name" * 250_000


def make_photos(root: Path, names: tuple[str, ...]) -> Path:
    rng = np.random.default_rng(0)
    for label, name in enumerate(names):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 100, (8, 8, 3)) + 10 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return root


def make_config(path: Path, photos: Path, classes: int) -> Path:
    space = {
        **{"name": "mobilenet-groups", "image_size": 8, "width": 0.25, "stem_stride": 1},
        **{"groups": [1], "blocks": [[64, 2]], "classes": classes},
    }
    data = {"name": "imagefolder", "root": str(photos), "image_size": 8, "loader_workers": 0}
    training = {"epochs": 1, "seeds": 1, "batch_size": 8, "tensorboard": False, "threads": 1}
    path.write_text(yaml.safe_dump({"space": space, "data": data, "retrain": training}))
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on folders of these names, packed."""
    folder = tmp_path_factory.mktemp("odd names")
    photos = make_photos(folder / "photos", NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_config(Path("config.yaml"), photos, len(NAMES))
        assert run("retrain config.yaml --run run".split()) == 0
        (network,) = Path("run").rglob("network.safetensors")
        shutil.copy(network, "net")
        assert run("pack run -o model.evobit".split()) == 0
    return folder


def test_classes_of_any_name_are_trained_and_packed(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = packed_file.load(made / "model.evobit")
    assert set(packed.class_names) == set(NAMES)
    assert read_card(made / "model.evobit.md") is not None
    shown = (made / "model.evobit.md").read_text()
    assert "\x1b" not in shown.split("\n# ", 1)[1]
    words = ["predict", str(made / "model.evobit"), str(made / "photos" / "a\nb"), "--top", "11"]
    assert run(words) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert run([*words, "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)["predictions"][0]["top"]
    assert {one["class"] for one in predicted} == set(NAMES)


@pytest.mark.parametrize("name", ["signs", "c", "onnx", "qonnx", "torch", "openvino"])
def test_every_format_holds_them(
    made: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in {"onnx": ["onnxruntime"], "qonnx": ["qonnx"], "openvino": ["openvino"]}.get(
        name, []
    ):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    assert run(["export", str(made / "net"), "--format", name]) == 0
    (card,) = Path().rglob("*.md") if name != "c" else [Path("c_sources/CARD.md")]
    assert read_card(card) is not None


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_the_c_program_prints_a_line_an_image(made: Path, tmp_path: Path) -> None:
    assert (
        run(
            ["export", str(made / "model.evobit"), "--format", "c", "--no-card", "-o"]
            + [str(tmp_path / "c"), "--data", str(made / "photos" / "---")]
        )
        == 0
    )
    done = subprocess.run(["make", "CFLAGS=-O0 -Werror"], cwd=tmp_path / "c", capture_output=True)
    assert done.returncode == 0, done.stderr
    (tmp_path / "c" / "images").write_bytes(os.urandom(300 * 3 * 8 * 8))
    printed = subprocess.run(["./classify", "images"], cwd=tmp_path / "c", capture_output=True)
    lines = printed.stdout.decode().split("\n")[:-1]
    assert len(lines) == 300
    names = packed_file.load(made / "model.evobit").class_names
    escaped = [re.sub("[\0-\x1f]", lambda c: f"\\{ord(c[0]):03o}", name) for name in names]
    assert all(line.split("\t")[3] == escaped[int(line.split("\t")[2])] for line in lines)
    assert {len(line.split("\t")) for line in lines} == {4 + len(names)}


def check_refused(command: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, and nothing is written."""
    before = set(Path().rglob("*"))
    assert run(command.split()) == 2
    assert capsys.readouterr().err == (
        f"evobit: {what} 'caf\\udce9': its name is not UTF-8; give it another\n"
    )
    assert set(Path().rglob("*")) == before


@pytest.mark.parametrize("command", ["retrain config.yaml", "cache photos -o cache"])
def test_a_folder_whose_name_is_no_text_is_refused_first(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    make_photos(Path("photos"), ("a", NO_TEXT))
    make_config(Path("config.yaml"), Path("photos"), 2)
    check_refused(command, "photos: folder", capsys)


def test_an_image_whose_name_is_no_text_is_read(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / f"{NO_TEXT}.png"
    shutil.copy(made / "photos" / "---" / "0.png", image)
    assert run(["predict", str(made / "model.evobit"), str(image)]) == 0
    assert "caf\\udce9.png" in capsys.readouterr().out.replace("\n", "")
    output = tmp_path / NO_TEXT / "m.evobit"
    assert run(["pack", str(made / "net"), "-o", str(output), "--data", str(tmp_path)]) == 0
    assert read_card(output.with_name("m.evobit.md")) is not None


def renamed(packed: PackedNetwork, kind: str, name: str) -> PackedNetwork:
    """The network with one class, or one operation, of that name."""
    if kind == "class":
        names = (name, *packed.class_names[1:])
        return PackedNetwork(packed.plan, packed.parameters, packed.preprocessing, names)
    plan = packed.plan
    operations = (replace(plan.operations[0], name=name), *plan.operations[1:])
    plan = Plan(plan.channels, plan.size, operations)
    return PackedNetwork(plan, packed.parameters, packed.preprocessing, packed.class_names)


COMMANDS = (
    "predict m.evobit photos/---/0.png",
    "bench m.evobit --rounds 3 --no-torch",
    "evaluate m.evobit --data photos",
    "export m.evobit --format c --data photos/---",
    "export m.evobit --format onnx --data photos/---",
    "export m.evobit --format openvino --data photos/---",
)


@pytest.mark.parametrize("kind", ["class", "operation"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_strangers_names_move_no_cursor_and_are_shortened(
    made: Path,
    kind: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "onnx" in command:
        pytest.importorskip("onnxruntime")
    if "openvino" in command:
        pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    Path("photos").symlink_to(made / "photos")
    whole = packed_file.load(made / "model.evobit")
    names = ["a\0\x1b]0;b\x07\n\u2028", *([HUGE] if "nx" not in command else [])]
    for name in names:
        packed_file.save("m.evobit", renamed(whole, kind, name))
        capsys.readouterr()
        assert run(command.split()) in (0, 2)
        printed = capsys.readouterr()
        shown = printed.out + printed.err
        assert not {"\x1b", "\0", "\x07"} & set(shown) and len(shown) < 20_000
        assert "traceback" not in shown
    assert not list(Path().rglob(f"*{PARTIAL}"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_strangers_name_that_is_no_text_is_refused(
    made: Path,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = packed_file.load(made / "model.evobit")
    packed_file.save("m.evobit", renamed(whole, "class", NO_TEXT))
    check_refused(command, "packed model m.evobit: class", capsys)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a\nb", "1st", "it's", NO_TEXT, HUGE, "a\0"])
def test_a_block_is_named_so_that_every_format_can_hold_it(name: str) -> None:
    with pytest.raises(UserError, match="expected a name of letters") as refused:
        NetworkSpec("net", 1, 8, 2, (name,), (HeadSpec(1, 2, 8),))
    assert len(str(refused.value)) < 500


def test_two_blocks_have_two_names() -> None:
    with pytest.raises(UserError, match="two blocks have this name"):
        NetworkSpec("net", 1, 8, 2, ("head", "head"), (HeadSpec(1, 2, 8),) * 2)

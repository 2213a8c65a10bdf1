"""Wrong input at the commands: exit code 2, one line on stderr, nothing changed or created."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from evobit.main import run
from supernet.architecture_file import save_architecture
from supernet.files import load_weights, save_weights
from supernet.spaces import space_from_description
from training.data.config import DATA_SETS

Capture = pytest.CaptureFixture[str]

OWN_SPACE = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from supernet.spaces.mobilenet_groups import MobileNetGroups

Path(__file__).with_name("ran").touch()

@dataclass(frozen=True)
class Own(MobileNetGroups):
    extra: int = 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    """A working folder with a config and an architecture of its space."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVOBIT_DATA", raising=False)
    write_config(stages)
    space = space_from_description(stages["space"])
    save_architecture("a.json", space, space.first())
    return tmp_path


def write_config(stages: dict) -> None:
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))


def snapshot() -> dict[Path, bytes | None]:
    # Importing a user's module leaves Python's own cache beside it.
    found = [path for path in Path().rglob("*") if "__pycache__" not in path.parts]
    return {path: path.read_bytes() if path.is_file() else None for path in found}


def refused(capsys: Capture, *words: str, reports: bool = False) -> str:
    """The one line of a command that must change nothing and end with exit code 2.

    With `reports`, what a stage says before it meets the mistake may stand above the line.
    """
    capsys.readouterr()
    before = snapshot()
    assert run(words) == 2
    printed = capsys.readouterr()
    *above, line = printed.err.splitlines()
    assert reports or not above, printed.err
    assert line.startswith("evobit: ") and not any("evobit: " in other for other in above)
    assert printed.out == ""
    assert snapshot() == before
    return line


def own_images(stages: dict, **fields: Any) -> None:
    """Make the config one for colour images of two classes from the folder images/."""
    stages["space"].update(in_channels=3, classes=2)
    stages["data"] = {"name": "imagefolder", "root": "images", "image_size": 8, **fields}
    stages["data"].update(loader_workers=0, search_fraction=0.25)
    write_config(stages)


def write_images(*classes: str, number: int = 20) -> None:
    rng = np.random.default_rng(0)
    for name in classes:
        Path("images", name).mkdir(parents=True, exist_ok=True)
        for n in range(number):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path("images", name, f"{n}.png"))


@pytest.mark.parametrize("words", [["train-supernet"], ["retrain", "a.json"]])
def test_a_run_folder_of_another_config(folder: Path, capsys: Capture, words: list[str]) -> None:
    command, *rest = words
    small = ["--set", f"{words[0].removeprefix('train-')}.epochs=1", "--run", "r"]
    assert run([command, "tiny.yaml", *rest, *small]) == 0
    line = refused(capsys, command, "tiny.yaml", *rest, *small, "--set", "seed=4")
    assert "r: holds a run of another config (seed was 3, now 4)" in line


def test_a_search_folder_of_another_config(folder: Path, capsys: Capture) -> None:
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=1"]) == 0
    assert run(["search", "tiny.yaml"]) == 0
    line = refused(capsys, "search", "tiny.yaml", "--set", "search.mutations=1")
    assert "search.mutations was 2, now 1" in line
    line = refused(capsys, "search", "tiny.yaml", "--run", "runs/tiny-supernet")
    assert "holds a run of stage 'supernet', not 'search'" in line


@pytest.mark.parametrize("words", [["train-supernet"], ["search"], ["retrain", "a.json"]])
def test_a_file_where_a_run_folder_is_expected(
    folder: Path, capsys: Capture, words: list[str]
) -> None:
    command, *rest = words
    for run_folder in ("a.json", "a.json/below"):
        line = refused(capsys, command, "tiny.yaml", *rest, "--run", run_folder)
        assert "a.json is a file; expected a folder" in line


def test_demo_runs_in_a_folder_named_like_its_config(folder: Path, capsys: Capture) -> None:
    Path("runs").mkdir()
    Path("runs/tiny").touch()
    line = refused(capsys, "demo", "--config", "tiny.yaml")
    assert "runs/tiny is a file; expected a folder" in line


def test_the_demo_refuses_a_search_before_the_supernet(
    folder: Path, capsys: Capture, stages: dict
) -> None:
    for section, change, expected in (
        ("scoring", {"calibration_images": 10_000}, "at most the "),
        ("max_ops", 0.5, "max_ops 0.5: no architecture is that cheap"),
    ):
        search = {**stages["search"], section: change}
        Path("odd.yaml").write_text(yaml.safe_dump({**stages, "search": search}))
        assert expected in refused(capsys, "demo", "--config", "odd.yaml")
        assert not Path("runs").exists()


def test_a_packed_model_holds_signs_already(folder: Path, capsys: Capture) -> None:
    line = refused(capsys, "export", "zoo:fashion-mnist-groups")
    assert "holds signs already; give --format one of onnx" in line


def test_a_data_folder_with_one_class(folder: Path, capsys: Capture, stages: dict) -> None:
    own_images(stages)
    write_images("ant")
    assert "holds one class folder (ant)" in refused(capsys, "train-supernet", "tiny.yaml")


def test_a_data_folder_with_an_empty_class(folder: Path, capsys: Capture, stages: dict) -> None:
    own_images(stages)
    write_images("ant", "bee")
    Path("images/cow").mkdir()
    line = refused(capsys, "train-supernet", "tiny.yaml")
    assert "images/cow: an empty class folder" in line


def test_an_image_that_cannot_be_decoded(folder: Path, capsys: Capture, stages: dict) -> None:
    own_images(stages)
    write_images("ant", "bee")
    Path("images/bee/3.png").write_bytes(Path("images/bee/3.png").read_bytes()[:60])
    # Images are decoded as training comes to them, so that its run folder may be there by then.
    assert run(["train-supernet", "tiny.yaml"]) == 2
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert "images/bee/3.png: cannot be decoded" in last and printed.err.count("evobit: ") == 1
    assert printed.out == "" and not list(Path("runs").rglob("*.safetensors"))


# Fashion-MNIST is embedded, and looked for in other places too.
READ_FROM_ROOT = [name for name in DATA_SETS if not name.startswith("fashion-mnist")]


@pytest.mark.parametrize("name", [*READ_FROM_ROOT, "nowhere.py:read"])
def test_a_missing_data_set(folder: Path, capsys: Capture, stages: dict, name: str) -> None:
    stages["data"].update(name=name)
    if not name.startswith("nowhere"):
        stages["data"].update(root="not/there")
    write_config(stages)
    line = refused(capsys, "train-supernet", "tiny.yaml")
    assert "not/there" in line or "no file " in line and "/nowhere.py, expected" in line


def test_a_damaged_data_set(folder: Path, capsys: Capture, stages: dict) -> None:
    stages["data"].update(name="fashion-mnist", root="fashion")
    write_config(stages)
    Path("fashion").mkdir()
    for kind, shape in (("images-idx3", (50, 28, 28)), ("labels-idx1", (50,))):
        header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        content = header + bytes(math.prod(shape))
        Path("fashion", f"train-{kind}-ubyte").write_bytes(content[:-7])
    line = refused(capsys, "train-supernet", "tiny.yaml")
    assert "fashion/train-images-idx3-ubyte: damaged: 39193 bytes of data" in line


def test_a_reader_that_cannot_be_imported(folder: Path, capsys: Capture, stages: dict) -> None:
    Path("mine.py").write_text("import no_such_module_at_all\n")
    stages["data"].update(name="mine.py:read")
    write_config(stages)
    line = refused(capsys, "train-supernet", "tiny.yaml")
    assert "importing mine.py failed (ModuleNotFoundError: No module named 'no_such" in line


def test_a_supernet_tensor_of_wrong_shape(folder: Path, capsys: Capture) -> None:
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=1"]) == 0
    path = Path("runs/tiny-supernet/supernet.safetensors")
    tensors, metadata = load_weights(path)
    tensors["blocks.head.linear.bias"] = tensors["blocks.head.linear.bias"][:2].clone()
    save_weights(path, tensors, metadata)
    line = refused(capsys, "search", "tiny.yaml", reports=True)
    assert "wrong shape: blocks.head.linear.bias is (2,), expected (4,)" in line


@pytest.mark.parametrize(
    ("command", "change", "expected"),
    [
        ("train-supernet", "supernet.epochs=true", "'supernet.epochs' is True: expected a whole"),
        ("train-supernet", "supernet.epochs='7'", "'supernet.epochs' is '7': expected a whole"),
        ("train-supernet", "supernet.learning_rate='0.1'", "is '0.1': expected a number, without"),
        ("train-supernet", "supernet.learning_rate=.inf", "is inf: expected a number that is fin"),
        ("train-supernet", "supernet.threads=true", "'supernet.threads' is True: expected a whole"),
        ("train-supernet", "data.image_size=true", "'data.image_size' is True"),
        ("train-supernet", "seed='1'", "'seed' is '1': expected a whole number, without quotes"),
        ("search", "search.max_ops=true", "'search.max_ops' is True: expected a number"),
        ("search", "search.max_ops=.nan", "search.max_ops"),
        ("search", "search.scoring.batch_size='8'", "'search.scoring.batch_size' is '8'"),
        ("train-supernet", "space.image_size=true", "image_size is True: expected a whole number"),
        ("train-supernet", "space.classes='4'", "classes is '4': expected a whole number"),
        ("train-supernet", "space.width=.nan", "width is nan; expected a finite number"),
        ("train-supernet", "space.blocks=[[64,3]]", "block 1 has stride 3; expected 1 or 2"),
        ("train-supernet", "space.blocks=[[64,0]]", "block 1 has stride 0; expected 1 or 2"),
        ("train-supernet", "space.blocks=[[-64,1]]", "block 1 has -64 channels"),
    ],
)
def test_wrong_types_and_values(
    folder: Path, capsys: Capture, command: str, change: str, expected: str
) -> None:
    line = refused(capsys, command, "tiny.yaml", "--set", change)
    assert expected in line and "--set" in line


def edited(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return edit


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.write_text(path.read_text()[:80]), "not complete, valid JSON"),
        (edited(lambda document: document.update(version=2)), "version 2; this program reads"),
        (edited(lambda document: document["space"].update(width=0.5)), "another search space"),
        (edited(lambda document: document["choices"].popitem()), "no choice for position"),
        (edited(lambda document: document["space"].update(name="x.py:X")), "is named by a file"),
    ],
)
def test_a_wrong_architecture_file(
    folder: Path, capsys: Capture, damage: Callable[[Path], None], expected: str
) -> None:
    damage(Path("a.json"))
    line = refused(capsys, "retrain", "tiny.yaml", "a.json")
    assert "a.json: " in line and expected in line


def test_a_file_runs_no_code_that_nobody_named(folder: Path, capsys: Capture, stages: dict) -> None:
    Path("mine.py").write_text(OWN_SPACE)
    edited(lambda document: document["space"].update(name="mine.py:Own"))(Path("a.json"))
    for words in (["cost", "a.json"], ["retrain", "tiny.yaml", "a.json"]):
        line = refused(capsys, *words)
        assert "search space 'mine.py:Own': is named by a file" in line
        assert "--allow mine.py:Own" in line
    assert "is named by a file" in refused(capsys, "cost", "a.json", "--space", "mobilenet-groups")
    assert not Path("ran").exists()
    assert run(["cost", "a.json", "--space", "mine.py:Own"]) == 0
    assert Path("ran").exists()


def test_limits_that_nothing_keeps(folder: Path, capsys: Capture) -> None:
    change = ["--set", "search.max_ops=10"]
    assert "the cheapest" in refused(capsys, "search", "tiny.yaml", "--dry-run", *change)
    for limit in ("max_ops=nan", "max_ops=inf", "max_ops=3,max_bits=-inf"):
        assert "expected a finite number" in refused(capsys, "export", "r", "--limit", limit)


def test_what_is_finished_or_resumed_says_so(folder: Path, capsys: Capture) -> None:
    words = ["train-supernet", "tiny.yaml", "--set", "supernet.epochs=1"]
    assert run(words) == 0
    assert "resuming" not in capsys.readouterr().err
    assert run(words) == 0
    assert "runs/tiny-supernet: already finished; nothing to do" in capsys.readouterr().err
    assert run(["search", "tiny.yaml"]) == 0
    capsys.readouterr()
    assert run(["search", "tiny.yaml"]) == 0
    assert "already finished; nothing to do" in capsys.readouterr().err
    assert run(["search", "tiny.yaml", "--set", "search.generations=3"]) == 0
    assert "runs/tiny-search: resuming" in capsys.readouterr().err

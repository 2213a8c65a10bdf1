"""A test split is opened for what a network was trained beside, and for nothing else."""

import base64
import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from evaluate.retrain.config import RetrainStage
from evaluate.retrain.run import retrain
from evaluate.score import evaluate_checkpoint
from evobit.main import run
from supernet.files import UserError, load_weights, save_weights
from supernet.network import build
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training import split_facts as facts_file
from training.data import DataConfig, open_training_data
from training.network_file import TrainedNetwork, load_network, save_network
from training.network_training import WEIGHTS
from training.run_files.folder import RunFolder
from training.split_facts import FILE, SplitFacts
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

SPACE = MobileNetGroups(
    image_size=8, classes=2, in_channels=3, width=0.25, stem_stride=1, groups=(1, 2),
    blocks=((64, 1),),
)  # fmt: skip


def add(root: Path, numbers: range, seed: int = 0) -> Path:
    """Pictures of noise, all of one size; so are their files."""
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            pixels = np.random.default_rng([seed, label, number]).integers(0, 256, (8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number:02}.png")
    return root


def config_for(root: Path, **fields: Any) -> DataConfig:
    return DataConfig(name="imagefolder", root=root, image_size=8, loader_workers=0, **fields)


def network(path: Path, config: DataConfig, *, is_old: bool = False) -> Path:
    """A file as a training on `config` leaves it; of chance weights."""
    torch.manual_seed(0)
    data, architecture = open_training_data(config), SPACE.uniform(1)
    spec = SPACE.decode(architecture)
    made = TrainedNetwork(
        build(spec).eval(), SPACE, architecture, data.seen_by(spec), data.class_names, config,
        splits=None if is_old else data.facts, view=data.view,
    )  # fmt: skip
    save_network(path, made)
    return path


def test_photographs_that_are_added_make_no_test_images_of_what_was_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = add(tmp_path / "photos", range(50))
    file = network(tmp_path / "n.safetensors", config_for(photos))
    assert run(["evaluate", str(file)]) == 0
    trained_on = {path for path in open_training_data(config_for(photos)).everything.files.names}
    add(photos, range(50, 70))
    capsys.readouterr()
    for command in (["evaluate", str(file)], ["pack", str(file), "-o", str(tmp_path / "m.evobit")]):
        assert run(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"{file}: the data set 'imagefolder' in {photos} has changed" in line
        assert "40 images added (cat/50.png, cat/51.png, cat/52.png, ...)" in line
        assert "of the 28 images that would be its test split now were trained on (cat/" in line
        assert line.rpartition("trained on (")[2].split(",")[0] in trained_on
        assert "--data DIR" in line
    assert not (tmp_path / "m.evobit").exists()
    assert run(["evaluate", str(file), "--data", str(photos), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["also_trained_on"] == 80  # of 100: those added were not there
    assert run(["evaluate", str(file), "--data", str(photos), "--strict"]) == 2
    assert "--strict: 80 of the 140 images" in capsys.readouterr().err
    for name in ("cat", "dog"):
        for number in range(50, 70):
            (photos / name / f"{number}.png").unlink()
    assert run(["evaluate", str(file)]) == 0


def test_each_change_is_told(tmp_path: Path) -> None:
    for part, numbers, seed in (
        ("train", range(6), 0),
        ("val", range(3), 1),
        ("test", range(3), 2),
    ):
        add(tmp_path / "set" / part, numbers, seed)
    root = tmp_path / "set"
    before = open_training_data(config_for(root)).facts
    assert not before.changed(open_training_data(config_for(root)).facts)

    def changes() -> str:
        now = open_training_data(config_for(root)).facts
        assert before.changed(now)
        return before.changes(now)

    image = root / "train" / "cat" / "00.png"
    content = image.read_bytes()
    shutil.copy(image, root / "test" / "cat" / "00x.png")
    assert changes() == "1 image added (test/cat/00x.png)"
    (root / "test" / "cat" / "00x.png").unlink()
    image.write_bytes(content + b" ")
    assert changes() == "1 image of another size or label (train/cat/00.png)"
    image.rename(root / "val" / "cat" / "09.png")
    said = "1 image added (val/cat/09.png), 1 image removed (train/cat/00.png)"
    assert changes() == said
    (root / "val" / "cat" / "09.png").rename(image)
    image.write_bytes(content)
    assert not before.changed(open_training_data(config_for(root)).facts)


def test_what_was_trained_on_is_known_beside_new_validation_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, seed in (("train", 0), ("test", 2)):
        add(tmp_path / "set" / part, range(6), seed)
    root = tmp_path / "set"
    file = network(tmp_path / "n.safetensors", config_for(root))
    add(root / "val", range(3), 1)
    assert "changed since the network was trained: 6 images added (val/cat/00.png," in refusal(file)
    capsys.readouterr()
    assert run(["evaluate", str(file), "--data", str(root / "train"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["also_trained_on"] == 12
    assert run(["evaluate", str(file), "--data", str(root / "train"), "--strict"]) == 2


def test_what_was_trained_on_is_known_by_its_picture_not_its_label() -> None:
    def facts(sha256: str, entries: list[tuple[Any, ...]]) -> SplitFacts:
        return SplitFacts.of({"train": {"num_images": 3, "sha256": sha256}}, {"train": entries})

    before = facts("0", [("1.png", 5, "cat"), ("2.png", 6, "dog"), ("cat/3.png", 7)])
    now = [("1.png", 5, "dog"), ("2.png", 9, "dog"), ("cat/3.png", 7, "cat")]
    assert before.trained_on(now).tolist() == [0, 2]
    assert before.changes(facts("1", now)) == "2 images of another size or label (1.png, 2.png)"


def test_another_seed_splits_the_same_images_another_way(tmp_path: Path) -> None:
    photos = add(tmp_path / "photos", range(10))
    config = config_for(photos)
    file = network(tmp_path / "n.safetensors", config)
    trained = load_network(file)
    other = replace(trained, data=config_for(photos, split_seed=1))
    save_network(file, other)
    assert "the same images are split another way" in refusal(file)


def refusal(file: Path) -> str:
    with pytest.raises(UserError, match="has changed since the network was trained") as error:
        evaluate_checkpoint(file)
    return str(error.value)


def test_of_many_files_the_network_keeps_hashes_and_its_run_the_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts_file, "MOST_IN_NETWORK", 19)
    photos = add(tmp_path / "photos", range(10))
    run_folder = tmp_path / "run"
    stage = RetrainStage(
        space=SPACE.describe(),
        data=config_for(photos),
        retrain={"epochs": 1, "batch_size": 8, "seeds": 1, "uniform": 1, "random": 0, "threads": 1},
    )
    retrain(stage, [], run_folder)
    (file,) = run_folder.glob(f"networks/*/{WEIGHTS}")
    assert not load_network(file).splits.is_listed  # type: ignore[union-attr]
    moved = shutil.copy(file, tmp_path / "moved.safetensors")
    add(photos, range(10, 12))
    assert "4 images added (cat/10.png, cat/11.png, dog/10.png, ...)" in refusal(file)
    assert "its train split of 14 images is another now, of 1" in refusal(moved)
    manifest = RunFolder(run_folder, "retrain").manifest
    (run_folder / "manifest.json").write_text(json.dumps({**manifest, "data": "photos"}))
    with pytest.raises(UserError, match="field 'data' is 'photos': damaged"):
        evaluate_checkpoint(file)
    (run_folder / "manifest.json").write_text(json.dumps(manifest))
    (run_folder / FILE).write_bytes(b"\x1f\x8bno")
    with pytest.raises(UserError, match=rf"^{run_folder / FILE}: damaged"):
        evaluate_checkpoint(file)


def test_an_unfinished_retraining_goes_on_with_the_images_it_began_with(tmp_path: Path) -> None:
    photos = add(tmp_path / "photos", range(10))
    stage = RetrainStage(
        space=SPACE.describe(),
        data=config_for(photos),
        retrain={"epochs": 1, "batch_size": 8, "seeds": 1, "uniform": 2, "random": 0, "threads": 1},
    )
    retrain(stage, [], tmp_path / "run")
    folder = RunFolder(tmp_path / "run", "retrain")
    before = folder.manifest["data"]
    first, second = sorted((tmp_path / "run" / "networks").iterdir())
    shutil.rmtree(second)
    folder.record("summary", None)
    add(photos, range(10, 11))
    with pytest.raises(UserError, match="'imagefolder' has changed since the run was") as error:
        retrain(stage, [], tmp_path / "run")
    assert ": 2 images added (cat/10.png, dog/10.png)" in str(error.value)
    assert folder.manifest["data"] == before and not second.exists() and first.exists()
    for name in ("cat", "dog"):
        (photos / name / "10.png").unlink()
    summary = retrain(stage, [], tmp_path / "run")
    assert len(summary["networks"]) == 2 and second.exists()


def test_a_supernet_that_is_resumed_says_what_changed(tmp_path: Path) -> None:
    photos = add(tmp_path / "photos", range(10))
    stage = SupernetStage(
        space=SPACE.describe(), data=config_for(photos),
        supernet={"epochs": 1, "batch_size": 8, "threads": 1},
    )  # fmt: skip
    train_supernet(stage, tmp_path / "run")
    folder = RunFolder(tmp_path / "run", "supernet")
    folder.record("summary", None)
    (photos / "dog" / "03.png").unlink()
    with pytest.raises(UserError, match=r"has changed .*: 1 image removed \(dog/03.png\)"):
        train_supernet(stage, tmp_path / "run")
    manifest = folder.manifest
    del manifest["data"]["splits"]  # as of a run that recorded none
    folder.record("data", manifest["data"])
    train_supernet(stage, tmp_path / "run")


@pytest.mark.parametrize("in_run", [False, True])
def test_an_older_file_is_opened_and_that_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], in_run: bool
) -> None:
    photos = add(tmp_path / "photos", range(10))
    folder = tmp_path / "run"
    if in_run:  # whose manifest has had the hashes for long
        made = RunFolder.open(folder, "retrain", {"data": {"name": "imagefolder"}})
        made.record("data", open_training_data(config_for(photos)).manifest())
    file = network(folder / "networks" / "a" / WEIGHTS, config_for(photos), is_old=True)
    assert run(["evaluate", str(file)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "older" in line]
    assert [line.startswith(f"{file}: the data set") for line in lines] == [True] * (not in_run)
    add(photos, range(10, 11))
    assert run(["evaluate", str(file)]) == (2 if in_run else 0)
    if in_run:
        assert "its train split of 14 images is another now, of 16" in capsys.readouterr().err


READER = """
import numpy as np
COUNT = {count}
def read(config, part):
    if part == "train" and COUNT == 0:
        raise FileNotFoundError("no training images here")
    number = COUNT if part == "train" else 8
    images = np.random.default_rng([part == "train"]).integers(0, 256, (number, 3, 8, 8))
    return images.astype(np.uint8), np.arange(number) % 2, ["cat", "dog"]
"""


def test_a_reader_of_the_users_own_is_compared_by_its_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reader(count: int, name: str) -> str:
        (tmp_path / name).write_text(READER.replace("{count}", str(count)))
        return f"{tmp_path / name}:read"

    config = DataConfig(name=reader(40, "first.py"), image_size=8)
    file = network(tmp_path / "n.safetensors", config)
    allowed = ["--allow", config.name]
    assert run(["evaluate", str(file), *allowed]) == 0
    for count, code, said in (
        (42, 2, "has changed since the network was trained: its train split of 36 images is anoth"),
        (0, 0, "whether it has changed cannot be checked (no training images here)"),
    ):
        other = DataConfig(name=reader(count, f"with_{count}.py"), image_size=8)
        save_network(file, replace(load_network(file), data=other))
        capsys.readouterr()
        assert run(["evaluate", str(file), "--allow", other.name]) == code
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "splits",
    [
        [], "x", {"train": 3}, {"train": {"num_images": 1}}, {"files": "!"},
        {"train": {"num_images": float("inf"), "sha256": "0"}},
        {"train": {"num_images": 1.5, "sha256": "0"}},
        {"files": base64.b64encode(b"no zlib").decode()},
        {"files": base64.b64encode(zlib.compress(b"[[[")).decode()},
        {"train": {"num_images": 1, "sha256": "0"},
         "files": base64.b64encode(zlib.compress(b'{"train": [[3, "x"]]}')).decode()},
    ],
)  # fmt: skip
def test_damaged_facts_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], splits: Any
) -> None:
    file = network(tmp_path / "n.safetensors", config_for(add(tmp_path / "photos", range(6))))
    tensors, metadata = load_weights(file)
    description = {**json.loads(metadata["evobit"]), "splits": splits}
    save_weights(file, tensors, {**metadata, "evobit": json.dumps(description)})
    capsys.readouterr()
    assert run(["evaluate", str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{file}: incomplete description" in line


def test_names_of_any_bytes_come_back(tmp_path: Path) -> None:
    facts = SplitFacts.of(
        {"train": {"num_images": 2, "sha256": "0"}},
        {"train": [("cat/\udcff\n.png", 3), ("dög/'1'.png", 4)]},
    )
    assert (
        SplitFacts.from_dict(json.loads(json.dumps(facts.as_dict()))).as_dict() == facts.as_dict()
    )


def test_the_same_picture_in_two_splits_is_counted_and_strict_refuses_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for part, numbers, seed in (
        ("train", range(8), 0),
        ("val", range(4), 1),
        ("test", range(4), 2),
    ):
        add(tmp_path / "set" / part, numbers, seed)
    root = Path("set")
    space = SPACE.describe()
    Path("c.yaml").write_text(
        yaml.safe_dump(
            {
                "space": {k: list(map(list, v)) if k == "blocks" else v for k, v in space.items()
                          if k != "groups"} | {"groups": [1, 2]},
                "data": config_for(root).model_dump(mode="json", exclude_defaults=True),
                "supernet": {"epochs": 1, "batch_size": 8, "threads": 1},
            }
        )
    )  # fmt: skip
    file = network(tmp_path / "n.safetensors", config_for(root))
    assert run(["train-supernet", "c.yaml", "--run", "clean", "--strict"]) == 0
    with Image.open(root / "train" / "cat" / "02.png") as image:
        image.save(root / "test" / "dog" / "00.bmp")  # other bytes, other name, another class
        image.save(root / "val" / "dog" / "00.bmp")
    file = network(tmp_path / "n.safetensors", config_for(root))
    capsys.readouterr()
    assert run(["evaluate", str(file), "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    pair = "test/dog/00.bmp = train/cat/02.png"
    assert score["also_trained_on"] == 1
    assert (
        f"1 of the 9 images of the test split is also in the training images ({pair})"
        in (score["notes"][0])
    )
    assert run(["train-supernet", "c.yaml", "--run", "runs/a"]) == 0
    said = "1 of the 9 images of the search split is also in the train split (val/dog/00.bmp = "
    assert f"{said}train/cat/02.png): search scores are too good" in capsys.readouterr().err
    calibration = ("search.scoring.calibration_images=16", "search.scoring.calibration_batch=8")
    strict = {
        "evaluate": [str(file)],
        "pack": [str(file), "-o", "m.evobit"],
        "export": [str(file), "-o", "signs.safetensors"],
        "train-supernet": ["c.yaml", "--run", "no"],
        "pretrain": ["c.yaml", "--run", "no"],
        "search": ["c.yaml", "--run", "no"],
        "audit": ["c.yaml", "--run", "no"],
        "preview": ["c.yaml", "-o", "no.png"],
        "cache": [str(root), "--size", "8", "-o", "no"],
        "demo": ["--config", "c.yaml", "--run", "no", *(f"--set={one}" for one in calibration)],
    }
    before = sorted(tmp_path.iterdir())
    assert run(["train-supernet", "c.yaml", "--run", "c.yaml/no", "--strict"]) == 2
    assert "c.yaml is a file; expected a folder" in capsys.readouterr().err  # before all is read
    for command, arguments in strict.items():
        assert run([command, *arguments, "--strict"]) == 2, command
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("evobit: --strict: 1 of the 9 images of the ") and "00.bmp" in line
    (root / "val" / "dog" / "00.bmp").unlink()
    assert run(["cache", str(root), "--size", "8", "-o", "no", "--strict"]) == 2
    assert pair in capsys.readouterr().err  # the test split alone
    assert sorted(tmp_path.iterdir()) == before

"""Images that moved are known by their hashes: a run goes on with them, and with no others."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from evobit.main import run
from supernet.architecture_file import save_architecture
from supernet.spaces import space_from_description
from training.run_files.folder import RunFolder

STAGES = {
    "supernet": "train-supernet c.yaml",
    "search": "search c.yaml",
    "retrain": "retrain c.yaml a.json",
    "pretrain": "pretrain c.yaml a.json",
    "audit": "audit c.yaml --supernet runs/c-supernet",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, and a finished run of every stage on them."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for label, name in enumerate("ab"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(40):
            pixels = (rng.integers(0, 128, (8, 8, 3)) + 100 * label).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    space = {
        **{"name": "mobilenet-groups", "image_size": 8, "width": 0.25, "stem_stride": 1},
        **{"groups": [1, 2], "blocks": [[64, 1], [64, 2]], "classes": 2},
    }
    own = {"epochs": 1, "batch_size": 8, "tensorboard": False, "threads": 1}
    config = {
        "space": space,
        "data": {"name": "imagefolder", "root": "photos", "image_size": 8, "loader_workers": 0},
        "supernet": own,
        "search": {
            **{"population": 2, "parents": 1, "mutations": 1, "crossovers": 0, "generations": 1},
            "scoring": {"calibration_images": 16, "calibration_batch": 8},
        },
        "retrain": {**own, "seeds": 1, "uniform": 0, "random": 0},
        "pretrain": {**own, "method": "moco", "queue": 16, "hidden": 8, "neighbours": 2},
        "audit": {
            **own,
            **{"seeds": 1, "networks": 2, "top_k": [1], "bootstrap": 10},
            "scoring": {"calibration_images": [16], "calibration_batch": 8},
        },
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("c.yaml").write_text(yaml.safe_dump(config))
        made_of = space_from_description(space)
        save_architecture("a.json", made_of, made_of.first())
        for words in STAGES.values():
            assert run(words.split()) == 0, words
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def place(stage: str) -> str:
    return json.loads(Path(f"runs/c-{stage}/manifest.json").read_text())["config"]["data"]["root"]


def stop(stage: str, *, unless: bool = False) -> None:
    """Let a run be one that was stopped at its very end."""
    if not unless:
        RunFolder(Path(f"runs/c-{stage}"), stage).record("summary", None)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("finished", [False, True])
def test_a_run_goes_on_where_its_images_moved(
    folder: Path, stage: str, finished: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move("photos", "scratch")
    stop(stage, unless=finished)
    words = [*STAGES[stage].split(), "--set", "data.root=scratch"]
    assert run(words) == 0, capsys.readouterr().err
    assert place(stage) == "scratch"
    assert RunFolder(Path(f"runs/c-{stage}"), stage).finished


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("finished", [False, True])
def test_a_run_is_refused_other_images(
    folder: Path, stage: str, finished: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("photos", "scratch")
    for name in range(20):
        Image.new("RGB", (9, 9)).save(f"scratch/a/{name}.png")
    stop(stage, unless=finished)
    before = Path(f"runs/c-{stage}/manifest.json").read_bytes()
    capsys.readouterr()
    assert run([*STAGES[stage].split(), "--set", "data.root=scratch"]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert "20 images of another size or label (a/0.png, a/1.png, a/10.png, ...)" in line
    assert "data.root=scratch are not those" in line or stage in ("search", "audit")
    assert Path(f"runs/c-{stage}/manifest.json").read_bytes() == before


def test_a_cache_may_take_the_place_of_its_folder(folder: Path) -> None:
    assert run("cache photos -o cache --size 8".split()) == 0
    stop("supernet")
    assert run([*STAGES["supernet"].split(), "--set", "data.cache=cache"]) == 0


@pytest.mark.parametrize(
    "command",
    [
        "pretrain c.yaml a.json --test --set data.root=scratch",
        "evaluate runs/c-retrain",
        "evaluate NETWORK --strict",
        "pack NETWORK -o m.evobit",
        "export NETWORK -o signs.safetensors --strict",
    ],
)
def test_a_finished_runs_network_is_scored_and_shipped_where_its_images_lie_now(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move("photos", "scratch")
    (network,) = Path("runs/c-retrain/networks").glob("*/network.safetensors")
    assert run([*STAGES["retrain"].split(), "--set", "data.root=scratch"]) == 0
    assert run(command.replace("NETWORK", str(network)).split()) == 0, capsys.readouterr().err


def test_a_cache_that_was_made_anew_in_the_same_place_is_compared_by_its_view(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*STAGES["supernet"].split(), "--run", "runs/old", "--set", "data.view_rule=1"]
    words += ["--set", "data.cache=cache"]
    assert run("cache photos -o cache --size 8".split()) == 0
    assert run(words) == 0
    RunFolder(Path("runs/old"), "supernet").record("summary", None)
    assert run("cache photos -o cache --size 8 --stored 10".split()) == 0
    capsys.readouterr()
    assert run(words) == 2
    assert "has changed since the run was started: stored_size; restore" in capsys.readouterr().err


def test_a_search_on_a_damaged_supernets_config_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = RunFolder(Path("runs/c-supernet"), "supernet")
    trained.record("config", {**trained.config, "data": {"name": 3}})
    capsys.readouterr()
    assert run("search c.yaml --run runs/new".split()) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("evobit: runs/c-supernet/manifest.json: damaged (ValidationError")

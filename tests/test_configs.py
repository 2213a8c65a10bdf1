"""Every config that ships loads for every stage, and the one for own images runs."""

import random
from pathlib import Path

import pytest
from PIL import Image

from evaluate.finals.config import FinalsStage
from evaluate.retrain.config import RetrainStage
from evobit.config import load_stage
from evobit.main import run
from search.config import SearchStage
from supernet.spaces import space_from_description
from training.pretraining.config import PretrainStage
from training.supernet_stage import SupernetStage

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "stage", [SupernetStage, PretrainStage, SearchStage, FinalsStage, RetrainStage]
)
def test_config_loads(path: Path, stage: type) -> None:
    loaded = load_stage(path, stage, [])
    space = space_from_description(loaded.space)
    assert space.decode(space.first()).image_size == loaded.data.image_size


def test_own_images_from_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three classes of 20 photographs of different sizes, through the whole path."""
    rng = random.Random(0)
    for name, colour in (("red", (200, 30, 30)), ("green", (30, 200, 30)), ("blue", (30, 30, 200))):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            size = (rng.randint(30, 50), rng.randint(30, 50))
            shade = tuple(min(255, max(0, c + rng.randint(-30, 30))) for c in colour)
            Image.new("RGB", size, shade).save(tmp_path / "images" / name / f"{number}.jpg")
    monkeypatch.chdir(tmp_path)
    config = next(path for path in CONFIGS if path.stem == "own_images")
    changes = ["space.classes=3", "space.image_size=16", "data.image_size=16"]
    changes += ["space.blocks=[[64,1],[128,2]]", "data.loader_workers=0", "data.search_fraction=.2"]
    for stage in ("supernet", "retrain"):
        changes += [f"{stage}.epochs=4", f"{stage}.batch_size=16", f"{stage}.threads=1"]
    changes += ["search.population=4", "search.mutations=2", "search.crossovers=1"]
    changes += ["search.generations=1", "search.scoring.calibration_images=32"]
    changes += ["search.scoring.calibration_batch=16", "retrain.seeds=1", "retrain.random=1"]
    overrides = [word for change in changes for word in ("--set", change)]
    assert run(["demo", "--config", str(config), "--run", "shown", *overrides]) == 0
    text = capsys.readouterr().out
    assert "| finalist |" in text and "All of it as a page: shown/report.html" in text
    card = Path("shown/finalist.evobit.md").read_text()
    assert "| test split | 12 images, sha256 of names and sizes " in card  # 0.2 of 3 x 20
    network = next(Path("shown/retrain/networks").glob("*/network.safetensors"))
    assert run(["evaluate", str(network), "--data", "images", "--json"]) == 0
    assert '"images": 60' in capsys.readouterr().out
    (tmp_path / "images" / "red" / "0.jpg").write_bytes(b"not a photograph")
    assert run(["evaluate", str(network), "--data", "images"]) == 2
    assert "red/0.jpg" in capsys.readouterr().err

"""The score of a run's test split is the score of the very same files, by every command."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from evobit.main import run

pytestmark = pytest.mark.slow
READER = """
import numpy as np
from pathlib import Path
from PIL import Image

def read(config, part):
    files = sorted(Path(config.root, part).rglob("*.png"))
    levels = np.stack([np.array(Image.open(file)) for file in files]).transpose(0, 3, 1, 2)
    return levels, np.array([int(file.parent.name) for file in files]), ["0", "1"]
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that differ in their frame alone: black or white around the same noise."""
    root = tmp_path_factory.mktemp("frames") / "photos"
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 16)):
        for label in range(2):
            (root / part / str(label)).mkdir(parents=True)
            for number in range(count // 2):
                pixels = np.full((96, 96, 3), 255 * label, np.uint8)
                pixels[6:-6, 6:-6] = rng.integers(0, 256, (84, 84, 3))
                Image.fromarray(pixels).save(root / part / str(label) / f"{number}.png")
    (root.parent / "reader.py").write_text(READER)
    return root


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("data", "channels"),
    [
        ({"name": "imagefolder", "cache": "cache"}, 3),
        ({"name": "imagefolder", "cache": "cache", "stored_size": 64}, 3),
        ({"name": "imagefolder", "resize": "pad"}, 1),
        ({"name": "reader.py:read"}, 3),
        ({"name": "reader.py:read", "stored_size": 80}, 1),
    ],
    ids=str,
)
def test_scores_of_the_same_files(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: dict,
    channels: int,
) -> None:
    monkeypatch.chdir(photos.parent)
    if "cache" in data:
        command = ["cache", photos, "-o", tmp_path / "cache", "--size", 64]
        if "stored_size" in data:
            command += ["--stored", data["stored_size"]]
        assert shown(capsys, *command)["stored"] == data.get("stored_size", 74)
        data = {**data, "cache": str(tmp_path / "cache")}
    space = {
        "name": "network",
        "network": "reactnet-a",
        "width": 0.0625,
        "stem": "small",
        "image_size": 64,
        "classes": 2,
    }
    config = {
        "space": {**space, "in_channels": channels},
        "data": {**data, "root": str(photos), "image_size": 64, "loader_workers": 0},
        "retrain": {"epochs": 1, "batch_size": 8, "seeds": 1, "uniform": 0, "random": 0},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    folder, packed = tmp_path / "run", tmp_path / "m.evobit"
    assert run(["retrain", str(tmp_path / "config.yaml"), "--run", str(folder)]) == 0
    network = next(folder.glob("networks/*/network.safetensors"))
    allow = ["--allow", data["name"]] if ".py" in data["name"] else []
    own = shown(capsys, "evaluate", network, *allow)
    of_files = shown(capsys, "evaluate", network, "--data", photos / "test")
    assert own["images"] == of_files["images"] == 16
    assert {k: own[k] for k in ("top1", "top5", "calibration_error")} == {
        k: of_files[k] for k in ("top1", "top5", "calibration_error")
    }
    assert run(["pack", str(network), "-o", str(packed), *allow, "--images", "8"]) == 0
    assert shown(capsys, "evaluate", packed, "--data", photos / "test")["top1"] == own["top1"]
    found = shown(capsys, "predict", packed, photos / "test")["predictions"]
    right = [Path(one["image"]).parent.name == one["top"][0]["class"] for one in found]
    assert 100 * sum(right) / len(right) == own["top1"]

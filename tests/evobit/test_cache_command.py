"""`evobit cache` where the folder is the working folder itself."""

from pathlib import Path

import pytest
from PIL import Image

from evobit.main import run
from training.data import DataConfig, open_training_data


def test_the_working_folder_is_cached_inside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (32, 32), (40 * number, 9, 9)).save(photos / name / f"{number}.png")
    monkeypatch.chdir(photos)
    assert run(["cache", ".", "--size", "32"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]
    assert sorted(path.name for path in photos.iterdir()) == [".cache-32", "cat", "dog"]
    config = {"name": "imagefolder", "image_size": 32, "search_per_class": 1}
    plain = open_training_data(DataConfig(root=photos, **config))
    cached = open_training_data(DataConfig(root=photos, cache=photos / ".cache-32", **config))
    assert plain.train.class_names == cached.train.class_names == ("cat", "dog")
    assert plain.manifest()["splits"] == cached.manifest()["splits"]

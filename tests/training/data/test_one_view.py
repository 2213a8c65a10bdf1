"""Whatever shows an image file to a network shows it the same pixels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from supernet.files import UserError
from supernet.files.image_view import View, usual_stored
from training.data import DataConfig, open_training_data
from training.data.cache import CachedImageSet, build_cache
from training.data.config import view_rule_of
from training.data.decoding.folder_images import FolderImageSet
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation, centre
from training.data.readers import open_part
from training.data.test_part import open_labelled_folder

READER = '''
import numpy as np
from pathlib import Path
from PIL import Image
from training.data.image_set import MemoryImageSet

def read(config, part):
    """The very files of a folder, whole."""
    files = sorted(Path(config.root).rglob("*.png"))
    levels = np.stack([np.array(Image.open(file)) for file in files])
    levels = levels[:, None] if levels.ndim == 3 else levels.transpose(0, 3, 1, 2)
    return levels, np.array([int(file.parent.name) for file in files]), ["0", "1"]

def read_set(config, part):
    import torch
    images, labels, names = read(config, part)
    return MemoryImageSet(torch.from_numpy(images), torch.from_numpy(labels), tuple(names))
'''
SIDE = 48  # of the images, pixels


@pytest.fixture(scope="module", params=["RGB", "L"])
def photos(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four squares of noise, all in colour or all in grey, and a reader of them beside."""
    folder = tmp_path_factory.mktemp("views")
    rng = np.random.default_rng(5)
    shape = (SIDE, SIDE) if request.param == "L" else (SIDE, SIDE, 3)
    for label in range(2):
        (folder / "photos" / str(label)).mkdir(parents=True)
        for number in range(3):
            pixels = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            pixels.save(folder / "photos" / str(label) / f"{number}.png")
    (folder / "reader.py").write_text(READER)
    return folder


def sources(folder: Path, cache: Path, **settings: object) -> Iterator[tuple[str, Tensor]]:
    """All images of the folder by every way there is, in the order of their names."""
    photos = folder / "photos"
    kinds = {
        "folder": {"name": "imagefolder"},
        "cache": {"name": "imagefolder", "cache": cache},
        "tuple of a reader": {"name": f"{folder}/reader.py:read"},
        "set of a reader": {"name": f"{folder}/reader.py:read_set"},
    }
    for name, kind in kinds.items():
        config = DataConfig(root=photos, loader_workers=0, **kind, **settings)  # type: ignore[arg-type]
        train, test = open_part(config, "train"), open_part(config, "test")
        is_folder = kind["name"] == "imagefolder"
        yield name, whole(train, test) if is_folder else train.read(torch.arange(len(train)))[0]


def whole(*parts: ImageSet) -> Tensor:
    """The parts that a plain folder is split into, in the order of the files' names."""
    names = [name for part in parts for name in names_of(part)]
    pixels = torch.cat([part.read(torch.arange(len(part)))[0] for part in parts])
    return pixels[sorted(range(len(names)), key=names.__getitem__)]


def names_of(part: ImageSet) -> tuple[str, ...]:
    if isinstance(part, FolderImageSet):
        return part.files.names
    assert isinstance(part, CachedImageSet)
    return part._files.subset(part._rows).names


@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 64},
        {"image_size": 32},
        {"image_size": 44},  # a border of two pixels
        {"image_size": 32, "stored_size": 40},
        {"image_size": 32, "stored_size": 48},
        {"image_size": 64, "stored_size": 64},
        {"image_size": 64, "resize": "pad"},
        {"image_size": 32, "channels": 1},
        {"image_size": 64, "channels": 1, "stored_size": 70},
        {"image_size": 32, "channels": 3},
    ],
    ids=str,
)
def test_every_source_shows_the_same_pixels(photos: Path, tmp_path: Path, settings: dict) -> None:
    channels = settings.get("channels", 3)
    settings = {"channels": channels, **settings}
    view = DataConfig(name="imagefolder", **settings).view(channels)
    build_cache(photos / "photos", tmp_path / "cache", view, num_workers=0)
    files = sorted((photos / "photos").rglob("*.png"))
    seen = np.stack([view.read(file) for file in files])
    assert seen.shape == (6, channels, view.size, view.size)
    for name, squares in sources(photos, tmp_path / "cache", **settings):
        assert squares.shape[1:] == (channels, view.stored, view.stored), name
        found = Normalisation((0.0,) * channels, (1 / 255,) * channels, view.size).apply(squares)
        np.testing.assert_array_equal(found.numpy(), seen, err_msg=name)
        np.testing.assert_array_equal(centre(squares, view.size), seen, err_msg=name)
    labelled = open_labelled_folder(photos / "photos", view, ("0", "1"), 0)
    np.testing.assert_array_equal(view.middle(labelled.read(torch.arange(6))[0]), seen)


def test_usual_squares_leave_room_for_crops_and_padded_ones_none() -> None:
    assert [usual_stored(size) for size in (32, 63, 64, 224)] == [32, 63, 74, 256]
    assert usual_stored(224, "pad") == 224


def test_pad_shows_all_of_a_long_image(tmp_path: Path) -> None:
    levels = np.full((10, 40), 200, np.uint8)
    levels[:, :2] = levels[:, -2:] = 100
    Image.fromarray(levels).save(tmp_path / "a.png")
    seen = View.usual(20, 1, "pad").read(tmp_path / "a.png")[0]
    assert (seen[:7] == 0).all() and (seen[13:] == 0).all()
    assert (seen[8:12, 5:15] == 200).all() and seen[10, 0] < 150 > seen[10, -1]
    assert (View.usual(20, 1).read(tmp_path / "a.png") == 200).all()
    Image.fromarray(np.full((1, 5000), 7, np.uint8)).save(tmp_path / "line.png")
    assert (View.usual(20, 1, "pad").read(tmp_path / "line.png")[0, 9] == 7).all()


def test_a_view_survives_its_description_and_nothing_else_does() -> None:
    view = View(64, 70, 1, "pad", (1, 2, 3))
    described = view.describe()
    assert View.from_description({**described, "background": [1, 2, 3]}) == view
    for wrong in (
        {"size": "64"},
        {"size": 64.0},
        {"stored": 60},
        {"stored": 10**9},
        {"resize": "stretch"},
        {"channels": 2},
        {"channels": True},
        {"background": [1, 2]},
        {"background": [1, 2, 256]},
        {"background": "abc"},
    ):
        with pytest.raises((ValueError, TypeError)):
            View.from_description({**described, **wrong})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 64, "stored_size": 60}, "kept at 60 pixels for a network of 64"),
        ({"image_size": 64, "stored_size": 97}, "expected 64 to 96"),
        ({"view_rule": 1, "resize": "pad"}, "resize is for view_rule 2"),
        ({"view_rule": 1, "stored_size": 40}, "stored_size is for view_rule 2"),
    ],
)
def test_impossible_views_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(name="imagefolder", **settings)


def test_what_was_recorded_before_is_shown_as_then(photos: Path, tmp_path: Path) -> None:
    """A cache of the network's own size was shown whole, and a file cut out of 8/7 of it."""
    build_cache(photos / "photos", tmp_path / "cache", View(64, 64, 3), num_workers=0)
    document = {"name": "imagefolder", "root": str(photos / "photos"), "image_size": 64}
    before = DataConfig.of_file({**document, "cache": str(tmp_path / "cache")})
    assert before.view_rule == 1 and open_part(before, "train").size == 64
    assert before.view(3) == View(64, 74, 3, background=None)
    now = DataConfig(**{**document, "cache": tmp_path / "cache"})
    with pytest.raises(UserError, match="64 pixels a side"):
        open_training_data(now)
    reader = DataConfig(name=f"{photos}/reader.py:read", root=photos / "photos", image_size=64)
    assert open_part(reader, "train").size == 74
    assert open_part(reader.model_copy(update={"view_rule": 1}), "train").size == 64


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ({"name": "fashion-mnist-mini"}, 2),
        ({"name": "fashion-mnist", "image_size": 28}, 2),
        ({"name": "fashion-mnist", "image_size": 48}, 1),  # torch resized it
        ({"name": "cifar10", "image_size": 32}, 2),
        ({"name": "cifar10", "image_size": 64}, 1),  # shown whole
        ({"name": "imagefolder", "image_size": 32}, 1),  # transparency was dropped
        ({"name": "imagefolder", "image_size": 32, "view_rule": 2}, 2),
        ({"name": 3, "image_size": "x"}, 1),
    ],
)
def test_rule_of_what_was_recorded(document: dict, rule: int) -> None:
    assert view_rule_of(document) == rule

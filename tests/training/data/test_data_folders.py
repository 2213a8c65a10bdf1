"""Folders of images and their cache: real PNG and JPEG files, decoded in workers."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from supernet.files import UserError
from supernet.files.image_view import View
from training.data import DataConfig, open_training_data
from training.data.cache import HEADER, build_cache
from training.data.decoding import folder_images
from training.data.decoding.folder_images import FolderImageSet
from training.data.readers import open_part
from training.data.test_part import open_labelled_folder, open_test_part

CLASSES = ("ant", "bee", "cat")


def write_images(folder, per_class=10, classes=CLASSES, size=(40, 48), seed=0):
    """Write PNG and JPEG images, colour and grey, one file in a subfolder."""
    rng = np.random.default_rng(seed)
    for name in classes:
        (folder / name / "more").mkdir(parents=True)
        for number in range(per_class):
            pixels = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
            image = Image.fromarray(pixels)
            if number % 3 == 2:
                image = image.convert("L")
            place = folder / name / "more" if number == 0 else folder / name
            image.save(place / f"{number}.{'jpg' if number % 2 else 'png'}")
        (folder / name / "notes.txt").write_text("no image")
    return folder


def config_for(root, **fields):
    return DataConfig(name="imagefolder", root=root, loader_workers=0, **fields)


def all_names(images):
    return set(images.files.names)


def test_plain_folder_gives_a_fifth_of_each_class_to_test(tmp_path):
    config = config_for(write_images(tmp_path / "set"), search_fraction=0.25)
    data, test = open_training_data(config), open_test_part(config)
    assert data.class_names == CLASSES and data.channels == 3
    assert test.num_per_class() == dict.fromkeys(CLASSES, 2)
    assert data.search.num_per_class() == dict.fromkeys(CLASSES, 2)
    assert data.train.num_per_class() == dict.fromkeys(CLASSES, 6)
    parts = [all_names(data.train), all_names(data.search), all_names(test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 30
    described = data.manifest()["splits"]["test"]
    assert described["num_images"] == 6
    assert described["sha256_of_names_and_sizes"] == test.fingerprint()
    other = open_test_part(config.model_copy(update={"split_seed": 1}))
    assert all_names(other) != all_names(test)


@pytest.mark.parametrize("name", ["val", "test"])
def test_imagenet_layout(tmp_path, name):
    write_images(tmp_path / "train")
    write_images(tmp_path / name, per_class=2, seed=1)
    config = config_for(tmp_path, search_per_class=3)
    data, test = open_training_data(config), open_test_part(config)
    assert data.search.num_per_class() == dict.fromkeys(CLASSES, 3)
    assert (len(data.everything), len(test)) == (30, 6)
    manifest = json.loads(json.dumps(data.manifest()))
    assert manifest["splits"]["test"]["num_images"] == 6
    assert manifest["splits"]["train"]["num_per_class"]["bee"] == 7


def test_a_test_folder_with_classes_comes_before_val(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", per_class=2, seed=1)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "unlabelled.png").touch()  # as ImageNet's
    assert len(open_test_part(config_for(tmp_path))) == 6
    write_images(tmp_path / "test", per_class=3, seed=2)
    assert len(open_test_part(config_for(tmp_path))) == 9


def test_training_opens_no_test_image(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "val", per_class=2)
    for path in (tmp_path / "val").rglob("*.png"):
        path.write_bytes(b"no image")
    data = open_training_data(config_for(tmp_path))
    data.manifest()
    assert len(data.mean) == 3
    with pytest.raises(UserError, match="png: cannot be decoded"):
        open_test_part(config_for(tmp_path)).read(torch.arange(6))


def test_workers_keep_the_order_and_leave_the_global_generator_alone(tmp_path):
    write_images(tmp_path)
    config = config_for(tmp_path)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    inline = open_part(config, "train")
    workers = open_part(config.model_copy(update={"loader_workers": 2}), "train")
    state = torch.random.get_rng_state()
    batches = list(workers.batches(order, 7, "cpu"))
    assert torch.equal(state, torch.random.get_rng_state())
    assert [len(images) for images, _ in batches] == [7, 7, 7, 3]
    images, labels = inline.read(order)
    assert torch.equal(torch.cat([batch for batch, _ in batches]), images)
    assert torch.equal(torch.cat([batch for _, batch in batches]), labels)
    for position, index in enumerate(order[:3].tolist()):
        assert torch.equal(
            images[position],
            torch.from_numpy(View(32, 32, 3).read_square(inline.files.path(index))),
        )


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("damage", ["cut", "no image", "empty"])
def test_undecodable_image_is_named(tmp_path, num_workers, damage):
    write_images(tmp_path, per_class=3)
    path = tmp_path / "bee" / "1.jpg"
    content = {"cut": path.read_bytes()[:400], "no image": b"hello", "empty": b""}[damage]
    path.write_bytes(content)
    images = open_labelled_folder(tmp_path, View(32, 32, 3), CLASSES, num_workers)
    with pytest.raises(UserError) as error:
        list(images.batches(torch.arange(len(images)), 4, "cpu"))
    assert str(error.value).startswith(f"{path}: cannot be decoded")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_all_undecodable_images_are_told_of_at_once(tmp_path, num_workers, monkeypatch):
    write_images(tmp_path, per_class=6)
    broken = [tmp_path / name for name in ("ant/1.jpg", "ant/2.png", "bee/3.jpg", "cat/5.jpg")]
    for path in broken:
        path.write_bytes(b"hello")
    images = open_labelled_folder(tmp_path, View(32, 32, 3), CLASSES, num_workers)
    with pytest.raises(UserError) as error:
        images.read(torch.arange(18))
    assert [one.split(": ")[0] for one in str(error.value).split("; ")] == list(map(str, broken))
    monkeypatch.setattr(folder_images, "MOST_ERRORS", 3)
    with pytest.raises(UserError) as error:
        list(images.batches(torch.arange(18), 2))
    *named, end = str(error.value).split("; ")
    assert [one.split(": ")[0] for one in named] == list(map(str, broken[:3]))
    assert end == "perhaps more"


def test_a_class_that_is_never_tested_is_refused(tmp_path):
    write_images(tmp_path / "train")
    write_images(tmp_path / "test", per_class=2, classes=("ant", "cat"))
    with pytest.raises(UserError, match="test: no folder for class 'bee', which .*train has"):
        open_training_data(config_for(tmp_path))


def test_a_class_may_be_named_as_a_part_nearly_is(tmp_path):
    for name in ("Train", "Valid"):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("L", (32, 32), number).save(tmp_path / name / f"{number}.png")
    assert open_training_data(config_for(tmp_path)).class_names == ("Train", "Valid")


def test_decoding_resizes_the_shorter_side_and_crops_the_centre(tmp_path):
    # left quarter red, middle half green, right quarter blue: the centre is green alone
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, :50, 0] = pixels[:, 50:150, 1] = pixels[:, 150:, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    image = torch.from_numpy(View(50, 50, 3).read_square(tmp_path / "wide.png"))
    assert image.shape == (3, 50, 50)
    assert (image[1, :, 1:-1] == 255).all() and (image[0, :, 1:-1] == 0).all()
    assert (image[2, :, 1:-1] == 0).all()


def test_small_images_get_a_border_like_the_embedded_ones(tmp_path):
    embedded = open_part(DataConfig(name="fashion-mnist-mini"), "train")
    images, labels = embedded.read(torch.arange(40))
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        folder = tmp_path / str(label)
        folder.mkdir(exist_ok=True)
        Image.fromarray(image[0, 2:30, 2:30].numpy()).save(folder / f"{number}.png")
    names = tuple(map(str, range(10)))
    folder_set = open_labelled_folder(tmp_path, View(32, 32, 1), names, num_workers=0)
    for index, name in enumerate(folder_set.files.names):
        number = int(name.split("/")[1].removesuffix(".png"))
        assert torch.equal(folder_set.read(torch.tensor([index]))[0][0], images[number])


def test_labelled_folder_uses_the_networks_classes(tmp_path):
    write_images(tmp_path, per_class=2, classes=("cat", "ant"))
    images = open_labelled_folder(tmp_path, View(16, 16, 1), ("cat", "bee", "ant"), 0)
    assert images.num_per_class() == {"cat": 2, "bee": 0, "ant": 2}
    batch, labels = images.read(torch.arange(4))
    assert batch.shape == (4, 1, 16, 16) and labels.tolist() == [2, 2, 0, 0]
    with pytest.raises(UserError, match=r"ant: not a known class.*cat, bee"):
        open_labelled_folder(tmp_path, View(16, 16, 1), ("cat", "bee"), 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "set: cannot be read"),
        (lambda root: root.mkdir(), "set: holds no class folder"),
        (lambda root: write_images(root, classes=("ant",)), r"set: holds one class folder \(ant\)"),
        (lambda root: [write_images(root), (root / "dog").mkdir()], "dog: an empty class folder"),
        (lambda root: write_images(root, per_class=1), "class 'ant' has 1 image"),
        (
            lambda root: [
                write_images(root / "train"),
                write_images(root / "val", classes=("ant", "dog")),
            ],
            "dog: not a known class",
        ),
    ],
)
def test_wrong_folder_is_named(tmp_path, make, message):
    make(tmp_path / "set")
    with pytest.raises(UserError, match=message):
        open_training_data(config_for(tmp_path / "set"))


def test_folder_needs_a_root():
    with pytest.raises(UserError, match="data.root is not set"):
        open_training_data(config_for(None))


@pytest.mark.parametrize("layout", ["plain", "imagenet"])
def test_cache_equals_decoding(tmp_path, layout):
    root = tmp_path / "set"
    if layout == "plain":
        write_images(root)
    else:
        write_images(root / "train")
        write_images(root / "val", per_class=2, seed=1)
    progress = []
    build_cache(
        root,
        tmp_path / "cache",
        View(32, 32, 3),
        num_workers=0,
        progress=lambda *a: progress.append(a),
    )
    total = len(list(root.rglob("*.png"))) + len(list(root.rglob("*.jpg")))
    assert progress[-1] == (total, total)
    plain, cached = config_for(root), config_for(root, cache=tmp_path / "cache")
    rootless = config_for(None, cache=tmp_path / "cache")
    for config in (cached, rootless):
        assert open_training_data(config).manifest() == open_training_data(plain).manifest()
        for part in ("train", "test"):
            images, labels = open_part(plain, part).read(torch.arange(6))
            cached_images, cached_labels = open_part(config, part).read(torch.arange(6))
            assert torch.equal(images, cached_images) and torch.equal(labels, cached_labels)
    assert open_training_data(cached).mean == open_training_data(plain).mean
    assert isinstance(open_part(plain, "test"), FolderImageSet)
    assert not isinstance(open_part(cached, "test"), FolderImageSet)


def test_stale_or_small_cache_is_refused(tmp_path):
    root, cache = write_images(tmp_path / "set"), tmp_path / "cache"
    build_cache(root, cache, View(32, 32, 3), num_workers=0)
    with pytest.raises(UserError, match="32 pixels a side.*74 pixels a side.*--size 64"):
        open_part(config_for(root, cache=cache, image_size=64), "train")
    with pytest.raises(UserError, match=r"crop\).*pad\).*--size 32 --resize pad"):
        open_part(config_for(root, cache=cache, resize="pad"), "train")
    with pytest.raises(UserError, match="in colour.*in grey.*--size 32 --channels 1"):
        open_part(config_for(root, cache=cache, channels=1), "train")
    (root / "ant" / "1.jpg").unlink()
    with pytest.raises(UserError, match="does not fit the files"):
        open_part(config_for(root, cache=cache), "train")
    build_cache(root, cache, View(36, 36, 3), num_workers=0)
    with pytest.raises(UserError, match="36 pixels a side"):
        open_part(config_for(root, cache=cache), "train")
    assert open_part(config_for(root, cache=cache, stored_size=36), "train").size == 36
    assert open_part(config_for(root, cache=cache, view_rule=1), "train").size == 36
    assert len(list(cache.glob("*.u8"))) == 1  # the old pixels are gone


def test_failed_build_leaves_the_old_cache(tmp_path):
    root, cache = write_images(tmp_path / "set"), tmp_path / "cache"
    build_cache(root, cache, View(32, 32, 3), num_workers=0)
    before = {path.name: path.read_bytes() for path in cache.iterdir()}
    (root / "cat" / "3.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="3.jpg: cannot be decoded"):
        build_cache(root, cache, View(32, 32, 3), num_workers=0)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before


@pytest.mark.parametrize("damage", ["no header", "cut header", "changed list", "cut", "missing"])
def test_damaged_cache_is_named(tmp_path, damage):
    root, cache = write_images(tmp_path / "set", per_class=5), tmp_path / "cache"
    header = build_cache(root, cache, View(32, 32, 3), num_workers=0)
    pixels = next(cache.glob("*.u8"))
    if damage == "no header":
        header.unlink()
    elif damage == "cut header":
        header.write_bytes(header.read_bytes()[:-20])
    elif damage == "changed list":
        header.write_text(header.read_text().replace("ant/1.jpg", "ant/9.jpg"))
    elif damage == "cut":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    else:
        pixels.unlink()
    name = pixels.name if damage in ("cut", "missing") else HEADER
    with pytest.raises(UserError, match=name):
        open_part(config_for(None, cache=cache), "train")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_images_of_a_small_folder_are_decoded_once(tmp_path, num_workers):
    config = config_for(write_images(tmp_path / "set"), search_fraction=0.25)
    config = config.model_copy(update={"loader_workers": num_workers})
    data = open_training_data(config)
    order = torch.tensor([5, 0, 17, 3, 5, 11])
    first = [images.clone() for images, _ in data.train.batches(order, 4)]
    again = torch.arange(len(data.train))
    whole, labels = data.train.read(again)
    for path in (tmp_path / "set").rglob("*.png"):
        path.write_bytes(b"gone")
    images, same_labels = data.train.read(again)
    assert torch.equal(images, whole) and torch.equal(labels, same_labels)
    assert torch.equal(torch.cat(first), images[order])
    images += 1  # what a caller does with them is its own
    assert torch.equal(data.train.read(again)[0], whole)
    with pytest.raises(UserError, match="cannot be decoded"):
        data.search.read(torch.arange(len(data.search)))  # never seen: not there


def test_a_large_folder_is_decoded_again_and_again(tmp_path, monkeypatch):
    config = config_for(write_images(tmp_path / "set"), search_fraction=0.25)
    monkeypatch.setattr(folder_images, "MAX_KEPT_BYTES", 30 * 3 * 32 * 32 - 1)
    data = open_training_data(config)
    data.train.read(torch.arange(len(data.train)))
    for path in (tmp_path / "set").rglob("*.png"):
        path.write_bytes(b"gone")
    with pytest.raises(UserError, match="cannot be decoded"):
        data.train.read(torch.arange(len(data.train)))


def test_what_is_left_out_is_said_once_by_kind(tmp_path, capsys):
    for name in ("cat/1.png", "cat/2.jfif", "cat/3.PNG", "dog/1.png", "dog/2.png", "dog/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16)).save(tmp_path / name, "JPEG" if "jfif" in name else "PNG")
    for name in ("cat/4.heic9", "cat/5.heic9", "dog/.DS_Store", "dog/notes.txt"):
        (tmp_path / name).write_text("x")
    config = DataConfig(name="imagefolder", root=tmp_path, image_size=16, search_per_class=1)
    data = [open_training_data(config) for _ in range(2)][0]
    assert len(data.everything) == 4  # of 3 a class one is for the test
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("left out, as no images: 2 .heic9, 1 .txt, 1 hidden or of the system")


def test_an_accent_is_the_same_however_a_system_writes_it(tmp_path):
    composed, apart = "caf\u00e9", "cafe\u0301"
    for part, name in (("train", composed), ("test", apart)):
        for folder in (name, "tea"):
            (tmp_path / part / folder).mkdir(parents=True)
            for number in range(3):
                Image.new("RGB", (16, 16)).save(tmp_path / part / folder / f"{number}.png")
    config = DataConfig(name="imagefolder", root=tmp_path, image_size=16, search_per_class=1)
    data = open_training_data(config)
    assert data.everything.class_names == (composed, "tea")
    assert open_test_part(config).class_names == (composed, "tea")
    assert open_test_part(config).labels.tolist() == [0, 0, 0, 1, 1, 1]

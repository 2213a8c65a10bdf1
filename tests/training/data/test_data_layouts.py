"""Folders of parts under all their names, and classes of a few images in every layout."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from supernet.files import UserError
from supernet.files.image_view import View
from training.data import DataConfig, open_training_data
from training.data.cache import HEADER, build_cache
from training.data.test_part import open_test_part

CLASSES = ("ant", "bee")


def write(folder, per_class, seed=0, classes=CLASSES):
    """Write images of noise that differ from class to class and from seed to seed."""
    for label, name in enumerate(classes):
        number = per_class[label] if isinstance(per_class, tuple) else per_class
        (folder / name).mkdir(parents=True)
        for index in range(number):
            pixels = np.random.default_rng([seed, label, index]).integers(0, 256, (16, 16, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")


def config_for(root, **fields):
    return DataConfig(name="imagefolder", root=root, image_size=16, loader_workers=0, **fields)


@pytest.mark.parametrize(
    ("train", "search", "test"),
    [
        ("train", "val", "test"),
        ("Train", "Valid", "TEST"),
        ("training", "validation", "testing"),
        ("train", "dev", "test"),
    ],
)
def test_a_folder_for_validation_is_the_search_split(tmp_path, capsys, train, search, test):
    for seed, (name, per_class) in enumerate(((train, 8), (search, 3), (test, 2))):
        write(tmp_path / name, per_class, seed)
    data = open_training_data(config_for(tmp_path))
    assert [len(part) for part in (data.train, data.search, data.everything)] == [16, 6, 22]
    assert len(open_test_part(config_for(tmp_path))) == 4
    expected = Image.open(tmp_path / search / "bee" / "1.png")
    pixels, labels = data.search.read(torch.tensor([4]))
    assert np.array_equal(pixels[0].permute(1, 2, 0), np.array(expected)) and labels.item() == 1
    assert torch.equal(data.everything.read(torch.tensor([20]))[0], pixels)
    assert data.everything.labels.tolist() == [0] * 8 + [1] * 8 + [0] * 3 + [1] * 3
    roles = {"train": f"{train}/", "search": f"{search}/", "test": f"{test}/"}
    assert data.manifest()["parts"] == roles
    said = f"{train}/ is trained on, {search}/ is the search split, {test}/ is the test split"
    assert f"{tmp_path}: {said}" in capsys.readouterr().err


def test_validation_images_alone_stay_the_test_part_and_that_is_said(tmp_path, capsys):
    write(tmp_path / "train", 8)
    write(tmp_path / "valid", 3, 1)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "unlabelled.png").touch()  # as ImageNet's
    data = open_training_data(config_for(tmp_path, search_per_class=2))
    assert (len(data.train), len(data.search)) == (12, 4)
    assert len(open_test_part(config_for(tmp_path))) == 6
    assert data.manifest()["parts"]["test"] == "valid/"
    line = capsys.readouterr().err
    assert "valid/ is the test split (there is no other with classes); not used: test/" in line


def test_a_share_to_hold_out_is_refused_where_the_set_holds_out_its_own(tmp_path):
    for seed, name in enumerate(("train", "val", "test")):
        write(tmp_path / name, 3, seed)
    for field in ({"search_fraction": 0.25}, {"search_per_class": 1}):
        with pytest.raises(UserError, match=rf"data.{next(iter(field))} is for .*val/ is the"):
            open_training_data(config_for(tmp_path, **field))
    of_file = DataConfig.of_file(config_for(tmp_path, search_fraction=0.25).model_dump())
    assert len(open_training_data(of_file).search) == 6


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train", "val", "valid"), r"val/ and valid/ are names of the same part \(search\)"),
        (("Train", "train", "test"), r"Train/ and train/ are names of the same part"),
        (("val", "test"), "test: holds folders, and would be one class.*expected .*train beside"),
        (("valid", "ant"), "valid: holds folders, and would be one class"),
    ],
)
def test_parts_that_do_not_fit_are_named(tmp_path, names, message):
    for name in names:
        write(tmp_path / name, 3)
    with pytest.raises(UserError, match=message):
        open_training_data(config_for(tmp_path))


@pytest.mark.parametrize("part", ["val", "test"])
def test_every_part_has_every_class(tmp_path, part):
    for seed, name in enumerate(("train", "val", "test")):
        write(tmp_path / name, 3, seed, classes=("ant", "bee", "cat"))
    shutil.rmtree(tmp_path / part / "bee")
    with pytest.raises(UserError, match=f"{part}: no folder for class 'bee', which .*train has"):
        open_training_data(config_for(tmp_path))
    (tmp_path / part / "cat").rename(tmp_path / part / "dog")
    with pytest.raises(UserError, match=f"{part}/dog: not a known class"):
        open_training_data(config_for(tmp_path))


def test_a_cache_of_three_parts_is_what_the_folder_is(tmp_path):
    root = tmp_path / "set"
    for seed, (name, per_class) in enumerate((("train", 5), ("valid", 3), ("test", 2))):
        write(root / name, per_class, seed)
    build_cache(root, tmp_path / "cache", View(16, 16, 3), num_workers=0)
    plain = open_training_data(config_for(root))
    for place in (root, None):
        cached = open_training_data(config_for(place, cache=tmp_path / "cache"))
        assert cached.manifest() == plain.manifest() and cached.facts == plain.facts
        rows = torch.arange(6)
        for one, other in zip(cached.search.read(rows), plain.search.read(rows), strict=True):
            assert torch.equal(one, other)


def test_an_older_cache_that_left_validation_images_out_is_read_by_its_rule(tmp_path, capsys):
    root, cache = tmp_path / "set", tmp_path / "cache"
    write(root / "train", 8)
    write(root / "test", 2, 2)
    header = build_cache(root, cache, View(16, 16, 3), num_workers=0)
    document = json.loads(header.read_text())
    for part in document["parts"].values():
        for newer in ("folder", "labels", "num_search", "roles"):
            del part[newer]
    header.write_text(json.dumps(document))
    write(root / "val", 3, 1)
    data = open_training_data(config_for(root, cache=cache, search_per_class=2))
    assert (len(data.train), len(data.search)) == (12, 4)
    assert "was made without val/: the search split is drawn from train/ by" in (
        capsys.readouterr().err
    )
    (root / "train" / "ant" / "9.png").touch()
    with pytest.raises(UserError, match=f"{cache}: does not fit the files in {root} any more"):
        open_training_data(config_for(root, cache=cache))
    assert (cache / HEADER).exists()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("layout", ["plain", "train alone", "train and test", "three parts"])
def test_a_class_of_a_few_images_is_told_by_its_true_number(tmp_path, layout, count):
    root = tmp_path if layout == "plain" else tmp_path / "train"
    write(root, (6, count))
    inside = root / "bee" / "more"
    inside.mkdir()
    (root / "bee" / "0.png").rename(inside / "0.png")  # counts as those beside it
    if layout in ("train and test", "three parts"):
        write(tmp_path / "test", 2, 1)
    if layout == "three parts":
        write(tmp_path / "val", 2, 2)
    least = {"plain": 3, "train alone": 3, "train and test": 2, "three parts": 1}[layout]
    if count >= least:
        data = open_training_data(config_for(tmp_path))
        assert data.train.num_per_class()["bee"] >= 1 and data.search.num_per_class()["bee"] >= 1
        return
    images = f"{count} image{'s' * (count > 1)};"
    with pytest.raises(UserError, match=f"class 'bee' has {images} .*at least {least},"):
        open_training_data(config_for(tmp_path))


def test_images_that_the_test_split_took_are_counted_to_their_class(tmp_path):
    write(tmp_path, (9, 4))
    match = "class 'bee' has 4 images, 1 of them in the test split; to hold 3 out of 3 expected at"
    with pytest.raises(UserError, match=f"{match} least 5, so that 1 stay"):
        open_training_data(config_for(tmp_path, search_per_class=3))


def test_a_class_with_over_ten_times_the_images_of_another_is_noted(tmp_path, capsys):
    for folder, large in (("ten", 40), ("more", 60)):
        write(tmp_path / folder, (large, 5))
        open_training_data(config_for(tmp_path / folder))
        said = "class 'ant' has 48 training images, 'bee' 4" in capsys.readouterr().err
        assert said == (folder == "more")


@pytest.mark.parametrize(
    "field",
    [
        {"roles": {"test": 5}}, {"roles": {"test": "val/"}}, {"roles": {"train": 5}}, {"roles": []},
        {"labels": [99] * 10}, {"labels": [True] * 10}, {"labels": [0]}, {"folder": 3},
        {"num_search": float("inf")}, {"num_search": 1000}, {"num_search": -3}, {"num_search": 10},
        {"num_search": 2},  # of a data set that has no such part
        {"class_names": ["ant", "cat"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_strangers_cache_is_damaged_in_one_line(tmp_path, field):
    root, cache = tmp_path / "set", tmp_path / "cache"
    write(root / "train", 5)
    write(root / "test", 2, 2)
    header = build_cache(root, cache, View(16, 16, 3), num_workers=0)
    document = json.loads(header.read_text())
    document["parts"]["train"].update({"roles": {}} if "num_search" in field else {}, **field)
    header.write_text(json.dumps(document))
    with pytest.raises(UserError, match=f"^{header}: damaged"):
        open_training_data(config_for(root, cache=cache))


def test_what_was_trained_before_validation_images_were_used_is_listed_as_then(tmp_path):
    for seed, (name, per_class) in enumerate((("train", 8), ("test", 2))):
        write(tmp_path / name, per_class, seed)
    config = config_for(tmp_path, search_per_class=2, view_rule=1)
    then = open_training_data(config).facts
    write(tmp_path / "val", 3, 9)
    data = open_training_data(config)
    assert (len(data.train), len(data.search), data.manifest()["parts"]["unused"]) == (
        12,
        4,
        "val/",
    )
    assert not then.changed(data.facts)
    now = open_training_data(config_for(tmp_path))
    assert len(now.search) == 6 and then.changed(now.facts)


def test_the_test_part_is_listed_once(tmp_path):
    for seed, name in enumerate(("train", "test")):
        write(tmp_path / name, 4, seed)
    data = open_training_data(config_for(tmp_path))
    facts = data.facts
    shutil.rmtree(tmp_path / "test")  # what is not read again is not missed
    assert data.facts == facts and facts.parts["test"].num_images == 8
    assert data.manifest()["splits"]["test"]["num_images"] == 8

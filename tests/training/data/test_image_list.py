"""Images listed in a CSV file: read as a folder is, and each mistake named by its line."""

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from evobit.main import run
from supernet.files import UserError
from supernet.files.image_view import View
from training.data import DataConfig, open_training_data
from training.data.cache import build_cache
from training.data.image_list import read_list
from training.data.test_part import open_test_part


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures in one folder, of no class by their names."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def label_of(number):
    return ("T-shirt/top", "cat, large")[number % 2]


def written(photos, split=None, name="labels.csv"):
    rows = []
    for number in range(12):
        part = "" if split is None else f",{split(number)}"
        rows.append(f'{number}.png,"{label_of(number)}"{part}')
    head = "path,label" + ("" if split is None else ",split")
    path = photos / name
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def config_for(labels, **fields):
    return DataConfig(name="imagelist", labels=labels, image_size=16, loader_workers=0, **fields)


def three_parts(number):
    return ("train", "train", "train", "Validation", "testing", "train")[number // 2]


def test_without_a_column_for_it_the_split_is_by_seed(photos):
    config = config_for(written(photos), search_per_class=1, test_fraction=0.34)
    data, test = open_training_data(config), open_test_part(config)
    assert data.class_names == ("T-shirt/top", "cat, large")
    assert [len(part) for part in (data.train, data.search, test)] == [6, 2, 4]
    names = [set(part.files.names) for part in (data.train, data.search, test)]
    assert len(set.union(*names)) == 12
    for part in (data.train, data.search, test):
        for name, label in zip(part.files.names, part.labels.tolist(), strict=True):
            assert part.class_names[label] == label_of(int(name.removesuffix(".png")))


def test_a_column_says_train_val_and_test(photos, capsys):
    config = config_for(written(photos, three_parts))
    data, test = open_training_data(config), open_test_part(config)
    assert data.search.files.names == ("6.png", "7.png") and data.search.labels.tolist() == [0, 1]
    assert test.files.names == ("8.png", "9.png") and len(data.train) == 8
    assert data.manifest()["parts"] == {
        "train": "train", "search": "Validation", "test": "testing"
    }  # fmt: skip
    assert "train is trained on, Validation is the search split, testing is" in (
        capsys.readouterr().err
    )
    with pytest.raises(UserError, match=r"data.search_per_class is for a data set without"):
        open_training_data(config_for(config.labels, search_per_class=1))


def test_the_order_of_lines_and_other_columns_do_not_count(photos):
    labels = written(photos, three_parts)
    head, *rows = labels.read_text().splitlines()
    other = photos / "other.csv"
    other.write_text("\ufeff" + "\r\n".join([f"{head},by", *(f"{r},me" for r in rows[::-1]), ""]))
    facts = [open_training_data(config_for(path)).facts for path in (labels, other)]
    assert facts[0] == facts[1]


def test_paths_begin_at_the_root_or_at_the_file_or_are_absolute(photos, tmp_path):
    plain = read_list(written(photos))["all"]
    moved = tmp_path / "labels.csv"
    moved.write_text((photos / "labels.csv").read_text())
    assert read_list(moved, photos)["all"].digest() == plain.digest()
    moved.write_text(f"path,label\n{photos}/0.png,a\n./photos/1.png,b\n")
    files = read_list(moved)["all"]
    assert [files.path(index).name for index in range(2)] == ["0.png", "1.png"]
    assert files.names[1] == "photos/1.png"


def test_another_label_is_another_data_set(photos):
    labels = written(photos)
    before = open_training_data(config_for(labels, search_per_class=1)).facts
    labels.write_text(labels.read_text().replace('0.png,"T-shirt/top"', '0.png,"cat, large"', 1))
    after = open_training_data(config_for(labels, search_per_class=1)).facts
    assert "of another size or label (0.png)" in before.changes(after)


def test_a_cache_of_a_list_is_what_the_list_is(photos, tmp_path, capsys):
    labels = written(photos, three_parts)
    assert run(["cache", str(labels), "--size", "16"]) == 0
    cache = photos / "labels-cache-16"
    assert capsys.readouterr().out.strip() == str(cache)
    plain = open_training_data(config_for(labels))
    cached = open_training_data(config_for(labels, cache=cache))
    assert cached.manifest() == plain.manifest() and cached.facts == plain.facts
    rows = torch.arange(10)
    assert torch.equal(cached.everything.read(rows)[0], plain.everything.read(rows)[0])
    labels.write_text(labels.read_text().replace('0.png,"T-shirt/top"', '0.png,"cat, large"', 1))
    with pytest.raises(UserError, match=f"does not fit the files in {labels} any more"):
        open_training_data(config_for(labels, cache=cache))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"line 1: expected the columns 'path', 'label'.* found nothing"),
        ("file;class\n0.png;a\n", r"line 1: expected the columns .* found file;class"),
        ("path,label\n0.png,a\n1.png\n", r"line 3: holds 1 field\(s\), expected 2"),
        ("path,label\n0.png,a\n\n1.png, \n", r"line 4: has no label"),
        ("path,label\n,a\n", r"line 2: has no path"),
        ("path,label\n0.png,a\n1.png,a\n", r"holds 1 different label\(s\), expected two"),
        ("path,label\n0.png,a\n./0.png,b\n", r"line 3: 0.png stands in line 2 already"),
        ("path,label\n0.png,a\n99.png,b\n", r"line 3: .*photos/99.png is not there"),
        ("path,label\n0.png,a\nlabels.csv,b\n", r"line 3: labels.csv is no image by its name"),
        ("path,label\n0.png,a\n._1.png,b\n", r"line 3: ._1.png is no image by its name"),
        ("path,label,split\n0.png,a,train\n1.png,b,\n", r"line 3: split is '', expected train"),
        ("path,label,split\n0.png,a,fold1\n", r"line 2: split is 'fold1', expected train, val"),
        ("path,label,split\n0.png,a,test\n1.png,b,test\n", r"no line is of split 'train'"),
        (
            "path,label,split\n0.png,a,train\n1.png,b,train\n2.png,a,test\n",
            r"no line of split 'test' has label 'b'",
        ),
        ('path,label\n"0.png,a\n', r"line 2: no CSV \(unexpected end of data\)"),
        (b"path,label\n\xff\xfe.png,a\n", r"not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(photos, content, message):
    path = photos / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=rf"^{path}: {message}"):
        read_list(path)


def test_there_is_no_list(photos):
    with pytest.raises(UserError, match="none.csv: cannot be read .*expected a CSV file"):
        read_list(photos / "none.csv")
    with pytest.raises(UserError, match="imagelist: data.labels is not set, .* below .*photos"):
        open_training_data(DataConfig(name="imagelist", root=photos))
    with pytest.raises(ValidationError, match="labels is only used with name: imagelist"):
        DataConfig(name="imagefolder", labels=photos / "labels.csv")


def test_a_cache_for_another_view_is_told_with_the_list_and_its_root(photos, tmp_path):
    labels = written(photos)
    build_cache(photos, tmp_path / "cache", View(8, 8, 1), num_workers=0, labels=labels)
    with pytest.raises(UserError, match=f"evobit cache {labels} --root {photos} --size 16"):
        open_training_data(config_for(labels, cache=tmp_path / "cache"))

"""A user's own reader by import path or file, and configs that are refused."""

import pytest
from pydantic import ValidationError

from supernet.files import UserError
from training.data import DataConfig, open_training_data
from training.data.readers import open_part

READER = """
import numpy as np

def read(config, part):
    count = 40 if part == "train" else 8
    labels = np.arange(count) % 2
    return np.full((count, 3, 20, 30), 7, np.uint8), labels, ["even", "odd"]

def floats(config, part):
    return np.zeros((4, 3, 8, 8)), np.zeros(4, int), ["a", "b"]

def far_label(config, part):
    return np.zeros((2, 3, 8, 8), np.uint8), np.array([0, 2]), ["a", "b"]

def nothing(config, part):
    return None

def same_name(config, part):
    return np.zeros((4, 3, 8, 8), np.uint8), np.array([0, 0, 1, 1]), ["crane", "crane"]

def one_class(config, part):
    return np.zeros((4, 3, 8, 8), np.uint8), np.zeros(4, int), ["a"]
"""


def test_own_reader_from_a_file_and_a_module(tmp_path, monkeypatch):
    (tmp_path / "my_images_for_evobit.py").write_text(READER)
    monkeypatch.syspath_prepend(tmp_path)
    for name in (f"{tmp_path}/my_images_for_evobit.py:read", "my_images_for_evobit:read"):
        data = open_training_data(DataConfig(name=name, image_size=16))
        assert data.class_names == ("even", "odd") and data.channels == 3
        assert data.everything.size == 16 and len(data.search) == 4
        assert data.mean == pytest.approx([7 / 255] * 3) and min(data.std) > 0
        assert "test" not in data.manifest()["splits"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("floats", "expected torch.uint8"),
        ("far_label", "labels outside 0 to 1"),
        ("nothing", r"expected \(images, labels, class_names\)"),
        ("one_class", "has one class"),
        ("same_name", "class 'crane': two have this name, expected one each"),
        ("absent", "has no function 'absent'"),
    ],
)
def test_own_reader_that_is_wrong(tmp_path, function, message):
    (tmp_path / "reader.py").write_text(READER)
    with pytest.raises(UserError, match=message):
        open_part(DataConfig(name=f"{tmp_path}/reader.py:{function}"), "train")


@pytest.mark.parametrize("name", ["no_such_module_here:read", "no_such_file.py:read"])
def test_own_reader_that_is_missing(name):
    with pytest.raises(UserError, match="no_such.*expected"):
        open_part(DataConfig(name=name), "train")


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "mnist"},
        {"name": "fashion-mnist-mini", "sise": 3},
        {"name": "fashion-mnist-mini", "search_fraction": 1.0},
        {"name": "fashion-mnist-mini", "root": "somewhere"},
        {"name": "cifar10", "cache": "somewhere"},
        {"name": "cifar10", "image_size": 0},
    ],
)
def test_wrong_config_is_refused(fields):
    with pytest.raises(ValidationError):
        DataConfig(**fields)


def test_own_reader_of_a_file_with_a_dataclass(tmp_path):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    text += "@dataclass\nclass Options:\n    count: int = 3\n" + READER
    (tmp_path / "with_dataclass.py").write_text(text)
    assert len(open_part(DataConfig(name=f"{tmp_path}/with_dataclass.py:read"), "train")) == 40

"""Plain data: values as JSON has them, and nested ones by dotted name."""

from collections import OrderedDict
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import numpy as np

from supernet.files.plain_data import flatten, plain


def test_values_are_as_json_has_them() -> None:
    value = {"pair": (1, 2.5), "path": Path("a/b"), 3: None, "count": np.float64(2)}
    assert plain(value) == {"pair": [1, 2.5], "path": "a/b", "3": None, "count": 2.0}
    other = MappingProxyType({"in": OrderedDict(at=PurePosixPath("c"))})
    assert plain({"other": other}) == {"other": {"in": {"at": "c"}}}


def test_what_is_no_number_is_null_where_that_is_asked_for() -> None:
    value = {"inf": float("inf"), "nan": [float("nan")], "one": 1.0}
    assert plain(value)["inf"] == float("inf")
    assert plain(value, finite=True) == {"inf": None, "nan": [None], "one": 1.0}


def test_lists_of_mappings_are_numbered_or_left_whole() -> None:
    settings = {"seed": 0, "a": {"phases": [{"epochs": 1}, {"epochs": 2}], "none": {}, "k": (1,)}}
    flat = {"seed": 0, "a.phases.0.epochs": 1, "a.phases.1.epochs": 2, "a.k": (1,)}
    assert flatten(settings) == flat
    assert list(flatten(settings, numbered_from=1))[1] == "a.phases.1.epochs"
    assert flatten(settings, numbered_from=None)["a.phases"] == settings["a"]["phases"]

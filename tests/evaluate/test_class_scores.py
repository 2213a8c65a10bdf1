"""Scores of each class, and what is said of small and of unequal ones."""

import pytest
import torch

from evaluate.class_scores import (
    balanced_top1,
    count_classes,
    described,
    left_out,
    notes_of,
    shown,
)
from evaluate.retrain.by_class import class_table
from evaluate.retrain.columns import columns
from evaluate.retrain.report import Report


def test_balanced_top1_counts_every_class_alike() -> None:
    labels = torch.tensor([0] * 90 + [1] * 6 + [2] * 2)
    predicted = torch.tensor([0] * 96 + [2, 0])
    classes = count_classes(labels, predicted, ("many", "few", "two", "none"))
    assert classes["two"] == {"images": 2, "correct": 1}
    assert balanced_top1(classes) == pytest.approx((100 + 0 + 50) / 3)
    assert described(classes)["many"]["top1"] == 100.0
    assert described(classes)["two"]["top1"] is None  # one of two is no measurement
    rows = {name: text for name, _, text in shown(classes)}
    assert rows == {"many": "100.00", "few": "0.00", "two": "1 of 2", "none": "0 of 0"}
    unequal, few = notes_of(classes)
    assert unequal.startswith("class 'many' has 90 test images, 'two' 2: top-1 is mostly")
    assert few.startswith("2 classes have two or fewer") and "'two' (2), 'none' (0)" in few


def test_ten_times_as_many_are_not_noted() -> None:
    def notes(large: int) -> list[str]:
        return notes_of({"a": {"images": large, "correct": 1}, "b": {"images": 4, "correct": 1}})

    assert notes(40) == [] and len(notes(41)) == 1


def test_of_many_classes_the_lowest_are_shown() -> None:
    classes = {f"c{n}": {"images": 100, "correct": n} for n in range(90, -1, -1)}
    assert [name for name, *_ in shown(classes)] == [f"c{n}" for n in range(20)]
    assert left_out(classes) == "71 classes of higher top-1 are not shown"


def row(name: str, **fields: object) -> dict:
    return {"name": name, "top1": [1.0], "top1_mean": 1.0, "top1_std": None, "top5_mean": 2.0,
            **fields}  # fmt: skip


def test_the_report_has_a_table_of_classes_where_the_run_recorded_them() -> None:
    by_class = {"a|b": {"images": 10, "correct": [3, 4]}, "c": {"images": 2, "correct": [1, 2]}}
    rows = [row("one", balanced_top1_mean=4.0, balanced_top1_std=1.0, classes=by_class)]
    found = class_table(rows)
    assert found is not None and found.heads == ("class", "test images", "one %")
    assert found.lines == (("a|b", "10", "35.00"), ("c", "2", "1.5 of 2"))
    titles = [one.title for one in columns(rows)]
    assert titles[:3] == ["network", "test top-1 %", "balanced top-1 %"] or (
        "balanced top-1 %" in titles
    )
    written = Report("d", 1, [{}], [{**rows[0], "name": "x|y"}], [], []).markdown
    assert "\n| a\\|b | 10 | 35.00 |\n" in written
    assert "\n| x\\|y | " in written and "\n| class | test images | x\\|y % |\n" in written
    older = [*rows, row("older")]
    assert class_table(older) is None
    assert "balanced top-1 %" not in [one.title for one in columns(older)]

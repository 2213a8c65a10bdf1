"""How well each class is found by a report's networks: a table for Markdown and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from evaluate.class_scores import MOST_SHOWN, in_words, left_out, notes_of


@dataclass(frozen=True)
class ClassTable:
    """`left_out`: in words, the classes that it leaves out; None where it has all."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    left_out: str | None


def class_table(rows: Sequence[Mapping[str, Any]]) -> ClassTable | None:
    """A line a class: its test images, and each network's top-1, the mean over seeds.

    Of many classes the lowest of the first network. None of a run that did not record them.
    """
    if any("classes" not in row for row in rows):
        return None
    classes = rows[0]["classes"]
    names = list(classes)
    if len(names) > MOST_SHOWN:
        names.sort(key=lambda name: _correct(classes[name]) / max(classes[name]["images"], 1))
    lines = tuple(
        (
            name,
            f"{classes[name]['images']:,}",
            *(
                in_words(_correct(row["classes"][name]), row["classes"][name]["images"])
                for row in rows
            ),
        )
        for name in names[:MOST_SHOWN]
    )
    heads = ("class", "test images", *(f"{row['name']} %" for row in rows))
    return ClassTable(heads, lines, left_out(classes))


def notes_on_classes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What must be known of the classes to read the table, in words."""
    if not rows or "classes" not in rows[0]:
        return []
    return notes_of({n: {"images": one["images"]} for n, one in rows[0]["classes"].items()})


def _correct(one: Mapping[str, Any]) -> float:
    return fmean(one["correct"])

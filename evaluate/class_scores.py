"""How well each class is found, and the mean over classes: top-1 counts large classes more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from torch import Tensor, bincount

from training.data.training_data import unequal

TOO_FEW = 2
"""So few test images of a class give no percentage: one more or less is 50 or 100 points."""

MOST_SHOWN = 20
"""Classes in a table for reading; JSON has all."""

Counts = Mapping[str, Mapping[str, int]]
"""Of each class by name: `images`, and how many of them are `correct`."""


def count_classes(labels: Tensor, predicted: Tensor, class_names: Sequence[str]) -> Counts:
    """Of each class the images of `labels`, int64 (N,), and those that are so `predicted`."""
    images = bincount(labels, minlength=len(class_names)).tolist()
    correct = bincount(labels[labels == predicted], minlength=len(class_names)).tolist()
    return {
        name: {"images": all_of_it, "correct": right}
        for name, all_of_it, right in zip(class_names, images, correct, strict=True)
    }


def balanced_top1(classes: Counts) -> float:
    """The mean of the classes' top-1, percent; of classes without images nothing is known."""
    return fmean(100 * one["correct"] / one["images"] for one in classes.values() if one["images"])


def top1_of(one: Mapping[str, int]) -> float | None:
    """Of a class, percent; None of too few images."""
    return None if one["images"] <= TOO_FEW else round(100 * one["correct"] / one["images"], 4)


def described(classes: Counts) -> dict[str, dict[str, Any]]:
    """The classes with their top-1, percent."""
    return {name: {**one, "top1": top1_of(one)} for name, one in classes.items()}


def shown(classes: Counts) -> Iterator[tuple[str, int, str]]:
    """Name, images and top-1 in words of the classes to be shown, the lowest first if not all."""
    rows = list(classes.items())
    if len(rows) > MOST_SHOWN:
        rows.sort(key=lambda row: row[1]["correct"] / max(row[1]["images"], 1))
    for name, one in rows[:MOST_SHOWN]:
        yield name, one["images"], in_words(one["correct"], one["images"])


def in_words(correct: float, images: int) -> str:
    """Top-1 of a class; of too few images the two numbers instead."""
    if images > TOO_FEW:
        return f"{100 * correct / images:.2f}"
    return f"{correct:g} of {images}"


def left_out(classes: Counts) -> str | None:
    """In words, how many classes `shown` leaves out."""
    more = len(classes) - MOST_SHOWN
    return f"{more:,} classes of higher top-1 are not shown" if more > 0 else None


def notes_of(classes: Counts) -> list[str]:
    """What must be known of the classes to read a top-1, in words."""
    notes = []
    if unlike := unequal({name: one["images"] for name, one in classes.items()}, "test images"):
        notes.append(unlike)
    few = [f"'{n}' ({one['images']})" for n, one in classes.items() if one["images"] <= TOO_FEW]
    if few:
        named = ", ".join(few[:5]) + (", ..." if len(few) > 5 else "")
        notes.append(
            f"{len(few)} {'class has' if len(few) == 1 else 'classes have'} two or fewer test "
            f"images, of which no percentage is a measurement: {named}"
        )
    return notes

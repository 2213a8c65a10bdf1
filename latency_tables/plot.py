"""A table to look at: milliseconds by layer and groups, and predicted against measured."""

from __future__ import annotations

from collections import defaultdict

from latency_tables.table import LatencyTable
from supernet.charts.scatter import Dot, Series, chart_svg

MOST_COLUMNS = 32
MOST_SHOWN = 1000
"""Rows for people, and lines of a plot; spaces have some hundreds of layers."""


def rows_by_groups(table: LatencyTable) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and rows: a row for layers that differ in their groups alone, a column a number.

    Of very many numbers of groups the first `MOST_COLUMNS`.
    """
    cells: dict[str, dict[int, float]] = defaultdict(dict)
    in_torch = (table.frame["runs_on"] == "torch").tolist()
    for (key, ms), is_in_torch in zip(table.milliseconds().items(), in_torch, strict=True):
        name, groups = _short_name(key)
        cells[f"{name}, in torch" if is_in_torch else name][groups] = ms
    numbers = sorted({groups for row in cells.values() for groups in row})[:MOST_COLUMNS]
    heads = ("ms by groups", *map(str, numbers))
    rows = [
        (name, *(f"{row[groups]:.4f}" if groups in row else "" for groups in numbers))
        for name, row in cells.items()
    ]
    return heads, rows


def by_groups(table: LatencyTable) -> str:
    """An SVG of each layer's milliseconds over its number of groups; a line for layers alike."""
    found: dict[str, list[Dot]] = defaultdict(list)
    for key, ms in table.milliseconds().items():
        name, groups = _short_name(key)
        found[name].append(Dot(float(groups), ms, key))
    series = [
        Series(name, sorted(dots, key=lambda dot: dot.x), line=True, label=name)
        for name, dots in found.items()
        if len(dots) > 1
    ][:MOST_SHOWN]
    return chart_svg(series or [Series("layers", [Dot(1, 0)])], "groups", "milliseconds")


def _short_name(key: str) -> tuple[str, int]:
    """A layer's name without its groups, as short as people can read it, and its groups (or 1)."""
    try:
        return _named_after(key)
    except (KeyError, ValueError):
        return key, 1  # no name of ours


def _named_after(key: str) -> tuple[str, int]:
    """What the fields in a key say: `binary_unit in_channels=8 out_channels=16 ... groups=4`."""
    kind, *pairs = key.split(" ")
    fields = dict(pair.split("=", 1) for pair in pairs)
    groups = int(fields.pop("groups", 1))
    if kind != "binary_unit":
        values = (name if value == "True" else value for name, value in fields.items())
        return " ".join((kind, *values)), groups
    text = "{kernel_size}x{kernel_size} {in_channels}-{out_channels} @{in_size}".format(**fields)
    return f"{text} /{fields['stride']} {fields['shortcut']}", groups


def predicted_against_measured(table: LatencyTable) -> str | None:
    """An SVG of whole networks, those that the fit has not seen; None without any."""
    points = table.header.points
    if not points:
        return None
    dots = [Dot(predicted, measured) for predicted, measured in points]
    ends = [min(map(min, points)), max(map(max, points))]
    diagonal = Series("diagonal", [Dot(end, end) for end in ends], line=True, faint=True)
    return chart_svg([diagonal, Series("networks", dots)], "predicted ms", "measured ms")

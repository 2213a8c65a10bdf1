"""The table of a report's networks, as plain data: Markdown and the page write its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluate.retrain.spread import mean_and_interval
from supernet.costs.table import COSTS

Cell = str | float | tuple[float | None, float | None]
"""A text, a number, or percent as a pair: it and what stands after ±, None where nothing does."""

NOT_IN_MARKDOWN = ("binary_parameters",)
"""Costs that only the page has: lines of Markdown are long already."""


@dataclass(frozen=True)
class Column:
    """A title and a cell for each network; `short` is the title in Markdown, where it is given."""

    title: str
    cells: tuple[Cell, ...]
    short: str = ""
    in_markdown: bool = True


def columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns over a report's `networks`; of the costs those that the first network has."""
    intervals = (mean_and_interval(row["top1"])[1] for row in rows)
    return [
        Column("network", tuple(row["name"] for row in rows)),
        Column("test top-1 %", tuple((row["top1_mean"], row["top1_std"]) for row in rows)),
        Column("95 % ±", tuple((half, None) for half in intervals), in_markdown=False),
        *(_balanced(rows) if all("balanced_top1_mean" in row for row in rows) else []),
        Column("top-5 %", tuple((row["top5_mean"], None) for row in rows), in_markdown=False),
        Column("seeds", tuple(len(row["top1"]) for row in rows)),
        *(_begun(rows) if all("start" in row for row in rows) else []),
        *(
            Column(
                cost.title,
                tuple(row[name] for row in rows),
                cost.short,
                in_markdown=name not in NOT_IN_MARKDOWN,
            )
            for name, cost in COSTS.items()
            if name in rows[0]
        ),
    ]


def _balanced(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    cells = tuple((row["balanced_top1_mean"], row["balanced_top1_std"]) for row in rows)
    return [Column("balanced top-1 %", cells, "balanced %")]


def _begun(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """How networks began, and what their rows took: by themselves, and with all before."""

    def cells(name: str, unit: float = 1.0) -> tuple[Cell, ...]:
        return tuple("–" if row[name] is None else round(row[name] / unit, 2) for row in rows)

    return [
        Column("start", tuple(row["start"] for row in rows)),
        Column("epochs", tuple(row["epochs"] for row in rows)),
        Column("core-minutes, own training", cells("own_core_minutes"), "core-min, own"),
        Column("core-minutes in all", cells("core_minutes"), "core-min, in all"),
        Column("image passes, own, millions", cells("own_image_passes", 1e6), in_markdown=False),
        Column("image passes in all, millions", cells("image_passes", 1e6), in_markdown=False),
    ]

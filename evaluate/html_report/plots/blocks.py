"""A network drawn block by block: its width, its groups, and what each block takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supernet.charts.scales import Scale, number
from supernet.charts.svg import Plot, document, element, label, shortened, title

WIDTH = 440
ROW = 22
TOP = 30
NAME_END = 134
BAR = (142.0, 268.0)
TAKES = (338.0, 392.0)

MOST_GROUPS_DRAWN = 64
"""Bars of more groups than a reader could see apart are drawn whole."""


def blocks(network: Mapping[str, Any]) -> Plot:
    """A row a block: channels as a bar cut into its groups, and its time (or OPs)."""
    rows = network["blocks"]
    measure = "ms" if any(row["ms"] is not None for row in rows) else "ops"
    dearest = max((row[measure] or 0.0 for row in rows), default=0.0)
    # Widths as their square root: 16 and 1024 channels are both to be seen.
    most = max((row["out_channels"] or 0 for row in rows), default=0) or 1
    width = Scale(0.0, most**0.5, *BAR)
    takes = Scale(0.0, dearest or 1.0, *TAKES)
    unit = "OPs" if measure == "ops" else "ms" if dearest >= 1 else "µs"
    parts = [
        label("block", NAME_END, 16, "name", "end"),
        label("channels, in groups", BAR[0], 16, "name"),
        label(unit, TAKES[0], 16, "name"),
        *(
            _block(row, TOP + ROW * place, width, takes, measure, unit)
            for place, row in enumerate(rows)
        ),
    ]
    svg = document(
        parts,
        name="blocks",
        title_="The winner, block by block",
        said=f"{len(rows)} blocks, from an image of {network['image_size']} x "
        f"{network['image_size']} pixels to {network['classes']} classes.",
        height=TOP + ROW * len(rows) + 8,
        width=WIDTH,
    )
    return Plot("blocks", "The winner, block by block", svg)


def shape_text(row: Mapping[str, Any]) -> str:
    """Kind and shape of a block in words."""
    parts = [row["kind"]]
    if row["kernel_size"]:
        parts.append(f"{row['kernel_size']}×{row['kernel_size']}")
    if row["in_channels"] or row["out_channels"]:
        parts.append(f"{number(row['in_channels'])} → {number(row['out_channels'])} channels")
    if row["stride"]:
        parts.append(f"stride {row['stride']}")
    if row["groups"]:
        parts.append(f"{row['groups']} groups")
    if row["out_size"]:
        parts.append(f"{row['out_size']}×{row['out_size']} pixels out")
    return ", ".join(parts)


def _block(
    row: Mapping[str, Any], top: float, width: Scale, takes: Scale, measure: str, unit: str
) -> str:
    middle = top + ROW / 2
    value = row[measure]
    end = width((row["out_channels"] or 0) ** 0.5)
    shown = f"{row['name']}: {shape_text(row)}; {number(row['ops'])} OPs"
    shown += "" if row["ms"] is None else f", {number(row['ms'])} ms"
    stride = f" /{row['stride']}" if (row["stride"] or 1) != 1 else ""
    groups = f" g{row['groups']}" if (row["groups"] or 1) != 1 else ""
    parts = [
        title(shown),
        element("rect", x=0, y=top, width=WIDTH, height=ROW, class_="row-area"),
        label(shortened(row["name"].replace("_", " "), 18), NAME_END, middle + 4, "tick", "end"),
        _bar(row, top + 4, width.start, end),
        label(
            f"{number(row['out_channels'])}{stride}{groups}",
            end + 5,
            middle + 4,
            "tick",
        ),
    ]
    if value is not None:
        length = takes(value) - takes.start
        parts.append(
            element(
                "rect",
                x=takes.start,
                y=top + 6,
                width=max(length, 0.5),
                height=ROW - 12,
                class_="takes",
            )
        )
        parts.append(label(_brief(value, unit), takes.start + length + 5, middle + 4, "tick"))
    return element("g", "".join(parts), class_="point block")


def _bar(row: Mapping[str, Any], top: float, start: float, end: float) -> str:
    """A bar of the block's width, with a cut between its groups."""
    kind = "binary" if row["is_binary"] else "real"
    groups = int(row["groups"] or 1)
    if not 1 < groups <= MOST_GROUPS_DRAWN:
        groups = 1
    step = (end - start) / groups
    cut = min(1.0, step / 4) if groups > 1 else 0.0
    return "".join(
        element(
            "rect",
            x=round(start + k * step, 2),
            y=top,
            width=round(max(step - cut, 0.1), 2),
            height=ROW - 8,
            class_=kind,
        )
        for k in range(groups)
    )


def _brief(value: float, unit: str) -> str:
    if unit != "OPs":
        return f"{value * (1000 if unit == 'µs' else 1):.3g}"
    return (
        f"{value / 1e6:.3g}M"
        if value >= 1e6
        else f"{value / 1e3:.3g}k"
        if value >= 1e4
        else number(value)
    )

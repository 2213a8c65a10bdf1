"""Plots of networks: finalists against baselines, predicted against measured milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supernet.charts.scales import Scale, number
from supernet.charts.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Entry,
    Plot,
    axes,
    framed,
    label,
    mark,
    path,
    shortened,
)

ROW = 38
ROWS_TOP = 8
NAME_WIDTH = 132
MOST_SPREAD = 3.0
"""An interval is shown as far as it fits an axis of so many times the range of the dots."""


def finalists(report: Mapping[str, Any]) -> Plot:
    """Top-1 on the test split: a dot a seed, the mean, and its 95 % interval."""
    rows = report["networks"]
    x = _top1_scale(rows)
    bottom = ROWS_TOP + ROW * len(rows)
    y = Scale(0.0, 1.0, bottom, ROWS_TOP)
    parts = [axes(x, y, "test top-1, %", "", y_ticks=False)]
    for place, row in enumerate(rows):
        parts.append(_network(row, ROWS_TOP + ROW * (place + 0.5), x))
    entries = [
        Entry("one seed", "circle", "seed"),
        Entry("mean", "diamond", "mean"),
        Entry("95 % interval", "line", "interval"),
    ]
    height = bottom + BOTTOM
    best = max(rows, key=lambda row: row["top1_mean"])
    said = (
        f"{len(rows)} networks; the highest mean is {best['name']}'s, "
        f"{number(round(best['top1_mean'], 2))} %."
    )
    heading = "Finalists against baselines"
    return framed("finalists", heading, "".join(parts), entries, said=said, bottom=height)


def _top1_scale(rows: Sequence[Mapping[str, Any]]) -> Scale:
    """Around the dots, and the intervals as far as the axis allows."""
    dots = [top1 for row in rows for top1 in row["top1"]]
    low, high = min(dots), max(dots)
    room = (high - low) * (MOST_SPREAD - 1) / 2 or 1.0
    ends = [
        min(max(row["top1_mean"] + sign * row["half_width"], low - room), high + room)
        for row in rows
        if row["half_width"] is not None
        for sign in (-1, 1)
    ]
    return Scale.over([*dots, *ends], NAME_WIDTH, WIDTH - RIGHT)


def _network(row: Mapping[str, Any], y: float, x: Scale) -> str:
    """Its name, the interval around the mean, and below it the seeds."""
    kind = row["kind"]
    mean, half = row["top1_mean"], row["half_width"]
    above = y - 5
    said = f"{row['name']}: mean {mean:.2f} %"
    said += "" if half is None else f" ± {half:.2f} (95 %)"
    parts = [label(shortened(row["name"], 18), 4, y + 4, f"row {kind}")]
    if half is not None:
        ends = x.clipped(mean - half), x.clipped(mean + half)
        parts.append(path([(ends[0], above), (ends[1], above)], "interval"))
        for end, is_whole in zip(ends, (mean - half >= x.low, mean + half <= x.high), strict=True):
            # Without its end the interval goes on beyond the axis.
            parts.append(path([(end, above - 5), (end, above + 5)], "interval") if is_whole else "")
    parts += [
        mark(
            "circle",
            x(top1),
            y + 8,
            size=4,
            said=f"{row['name']}, seed {seed}: {top1:.2f} %",
            class_="point seed",
        )
        for seed, top1 in enumerate(row["top1"])
    ]
    parts.append(mark("diamond", x(mean), above, size=5, said=said, class_="point mean"))
    return "".join(parts)


def latency(measured: Sequence[Mapping[str, Any]], table: Mapping[str, Any] | None) -> Plot | None:
    """Milliseconds predicted against measured: the search's, and those that tested the table."""
    tested = [tuple(point) for point in (table or {}).get("points", [])]
    own = [(one["predicted_ms"], one["measured_ms"]) for one in measured]
    if not own:
        return None
    values = [value for point in [*tested, *own] for value in point]
    x = Scale.over(values, LEFT, WIDTH - RIGHT)
    y = Scale.over(values, HEIGHT - BOTTOM, TOP)
    entries = [
        Entry("of the search", "diamond", "mean"),
        Entry("equal", "line", "limit"),
    ]
    entries += [Entry("tested the table", "circle", "o9")] if tested else []
    parts = [
        axes(x, y, "predicted milliseconds", "measured milliseconds"),
        path([(x(x.low), y(y.low)), (x(x.high), y(y.high))], "limit"),
        *(
            mark(
                "circle",
                x(predicted),
                y(found),
                said=f"a network of the table's test: predicted {number(predicted)} ms, "
                f"measured {number(found)} ms",
                class_="point o9",
            )
            for predicted, found in tested
        ),
        *(
            mark(
                "diamond",
                x(one["predicted_ms"]),
                y(one["measured_ms"]),
                size=5,
                said=f"candidate {one['index']}: predicted {number(one['predicted_ms'])} ms, "
                f"measured {number(one['measured_ms'])} ms"
                + ("" if one["kept"] else "; breaks the limit"),
                class_="point mean" if one["kept"] else "point mean guess",
            )
            for one in measured
        ),
    ]
    heading = "Latency: predicted against measured"
    said = f"{len(own)} candidates were measured."
    return framed("latency", heading, "".join(parts), entries, said=said)

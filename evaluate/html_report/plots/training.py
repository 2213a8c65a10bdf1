"""Training curves: loss, and top-1 where it was logged, over epochs."""

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
    path,
)

KINDS = ("finalist", "uniform", "random", "given")
"""Networks of a retraining, each kind with a line of its own; other trainings have the first."""

TITLES = {"retrain": "Retraining", "supernet": "Supernet", "pretrain": "Pre-training"}
MEASURES = {"loss": "training loss", "top1": "top-1, %"}


def curve_plots(training: Mapping[str, Any]) -> list[Plot]:
    """A plot for each measure that the log of one run has."""
    measures = [name for name in MEASURES if any(one[name] for one in training["curves"])]
    return [_curve_plot(training["stage"], training["curves"], name) for name in measures]


def _curve_plot(stage: str, curves: Sequence[Mapping[str, Any]], measure: str) -> Plot:
    drawn = [one for one in curves if one[measure]]
    points = [point for one in drawn for point in one[measure]]
    x = Scale.over([0.0, *(epoch for epoch, _ in points)], LEFT, WIDTH - RIGHT, padding=0.02)
    y = _scale_y(points)
    # The finalist is drawn last, above the others.
    order = sorted(drawn, key=lambda one: -_kind(one))
    lines = [
        path(
            [(x(epoch), y(value)) for epoch, value in one[measure] if y.low <= value <= y.high],
            f"curve k{_kind(one)}",
        )
        for one in order
    ]
    kinds = sorted({(_kind(one), one["kind"]) for one in drawn})
    entries = [Entry(kind, "line", f"curve k{place}") for place, kind in kinds]
    entries = entries if len(entries) > 1 else []
    name = f"{stage}-{measure}"
    heading = f"{TITLES.get(stage, stage)}: {MEASURES[measure]}"
    ends = ", ".join(
        f"{one['name']} (seed {one['seed']}) {number(one[measure][-1][1])}" for one in drawn[:12]
    )
    is_cut = any(not y.low <= value <= y.high for _, value in points)
    note = "The first steps lie beyond the plot." if is_cut else ""
    content = [
        axes(x, y, "epoch", MEASURES[measure]),
        *lines,
        *([] if len(drawn) > 1 else [_end(drawn[0], measure, x, y)]),
    ]
    said = f"At the end: {ends}."
    return framed(name, heading, "".join(content), entries, said=said, note=note)


def _scale_y(points: Sequence[Sequence[float]]) -> Scale:
    """Around the figures after the first twentieth: those before lie far off and flatten all."""
    begun = max(epoch for epoch, _ in points) / 20
    late = [value for epoch, value in points if epoch >= begun]
    return Scale.over(late, HEIGHT - BOTTOM, TOP)


def _kind(curve: Mapping[str, Any]) -> int:
    return KINDS.index(curve["kind"]) if curve["kind"] in KINDS else 0


def _end(curve: Mapping[str, Any], measure: str, x: Scale, y: Scale) -> str:
    """The last figure, where the line ends."""
    epoch, value = curve[measure][-1]
    return label(number(value), x(epoch), y(value) - 14, "value", "end")

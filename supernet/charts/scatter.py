"""A chart of dots and lines as an SVG, readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from supernet.charts.scales import Scale, tick_labels
from supernet.charts.svg import clean, element, label, mark, title

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 16, 52
"""Size and margins, in SVG units."""

NUM_TICKS = 6
"""About so many steps an axis has."""


@dataclass(frozen=True)
class Dot:
    """One point, and what hovering over it says."""

    x: float
    y: float
    text: str = ""


@dataclass(frozen=True)
class Series:
    """Dots that belong together: `name` is their SVG class, `line` joins them in their order.

    `label` stands beside the last dot.
    """

    name: str
    dots: Sequence[Dot]
    line: bool = False
    faint: bool = False
    label: str = ""


def chart_svg(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """The chart as an SVG document; there is at least one dot.

    All ink is `currentColor`: inside a page the page's, alone that of the reader's light or dark
    scheme.
    """
    dots = [dot for one in series for dot in one.dots]
    x, x_ticks = _axis([dot.x for dot in dots], LEFT, WIDTH - RIGHT)
    y, y_ticks = _axis([dot.y for dot in dots], HEIGHT - BOTTOM, TOP)
    grid = [element("path", d=f"M{x(at)} {y.end}V{y.start}") for at in x_ticks]
    grid += [element("path", d=f"M{x.start} {y(at)}H{x.end}") for at in y_ticks]
    below = [
        label(text, x(at), y.start + 18)
        for at, text in zip(x_ticks, tick_labels(x_ticks), strict=True)
    ]
    beside = [
        label(text, x.start - 8, y(at) + 4)
        for at, text in zip(y_ticks, tick_labels(y_ticks), strict=True)
    ]
    tilted = f"translate(16 {(y.start + y.end) / 2}) rotate(-90)"
    names = [
        label(x_label, (x.start + x.end) / 2, HEIGHT - 12),
        element("text", escape(clean(y_label)), transform=tilted),
    ]
    parts = [
        element("style", "svg:root { color-scheme: light dark; color: CanvasText }"),
        title(f"{y_label} against {x_label}"),
        element("g", "\n".join(grid), stroke="currentColor", stroke_opacity=0.15),
        element("g", "\n".join([*below, *names]), text_anchor="middle"),
        element("g", "\n".join(beside), text_anchor="end"),
        *(part for one in series for part in _drawn(one, x, y)),
    ]
    return (
        element(
            "svg",
            "\n".join(parts),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            role="img",
            fill="currentColor",
            font_family="sans-serif",
            font_size=12,
        )
        + "\n"
    )


def _drawn(series: Series, x: Scale, y: Scale) -> Iterator[str]:
    """The parts of one series: its line, its dots, its label."""
    places = [(x(dot.x), y(dot.y)) for dot in series.dots]
    if series.line:
        points = " ".join(f"{at_x:g},{at_y:g}" for at_x, at_y in places)
        yield element(
            "polyline", points=points, fill="none", stroke="currentColor", stroke_width=1.5
        )
    radius = 2 if series.faint else 3
    marks = [
        mark("circle", *place, size=radius, said=dot.text)
        for place, dot in zip(places, series.dots, strict=True)
    ]
    opacity = 0.25 if series.faint else None
    yield element("g", "\n".join(marks), class_=series.name, fill_opacity=opacity)
    if series.label:
        at_x, at_y = places[-1]
        text = escape(clean(series.label))
        yield element("text", text, x=at_x - 4, y=at_y - 6, text_anchor="end", font_size=10)


def _axis(values: Sequence[float], start: float, end: float) -> tuple[Scale, list[float]]:
    """A scale whose ends are the round numbers around all values, and its ticks."""
    narrow = Scale.over(values, start, end, padding=0)
    step = narrow.step(NUM_TICKS)
    first, last = math.floor(narrow.low / step), math.ceil(narrow.high / step)
    scale = Scale(first * step, last * step, start, end)
    return scale, [number * step for number in range(first, last + 1)]

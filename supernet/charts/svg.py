"""SVG text: elements, marks that tell apart without colour, and the frame of a plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from supernet.charts.scales import Scale, tick_labels

WIDTH, HEIGHT = 440, 310
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 34, 48
"""Size and margins of a plot without its legend, in SVG units."""

LEGEND_ROW = 22
LEGEND_LEFT = 12
MANY_COLUMNS, FEW_COLUMNS = 3, 2
LONG = 13
"""Characters of a legend's entry that fit one of many columns, in the letters of a phone."""

RADIUS = 3.2

SHAPES = ("circle", "square", "triangle", "diamond", "cross")


@dataclass(frozen=True)
class Plot:
    """`name` is its file name and id; `note` says in words what a reader must know."""

    name: str
    title: str
    svg: str
    note: str = ""


def element(tag: str, content: str = "", /, **attributes: object) -> str:
    """One element; `content` is SVG text already. `class_`, `stroke_width` lose their underscore.

    Attributes that are None are left out.

    Raises:
        ValueError: a number that is none, which no reader could draw.
    """
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}={quoteattr(_value(value))}"
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def _value(value: object) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} in a plot")
        return f"{value:g}"
    return clean(str(value))


def clean(text: str) -> str:
    """Without the control characters that XML has no way to hold."""
    return "".join(c if c >= " " or c in "\t\n" else "\ufffd" for c in text)


def label(text: str, x: float, y: float, class_: str = "", anchor: str = "start") -> str:
    """Text at a place."""
    where = None if anchor == "start" else anchor
    return element("text", escape(clean(text)), x=x, y=y, class_=class_ or None, text_anchor=where)


def title(text: str) -> str:
    """What hovering over the element that it is in says."""
    return element("title", escape(clean(text)))


def path(points: Iterable[tuple[float, float]], class_: str) -> str:
    """A line through points; none through fewer than two."""
    found = list(points)
    if len(found) < 2:
        return ""
    return element("path", d="M" + "L".join(f"{x:g} {y:g}" for x, y in found), class_=class_)


def mark(
    shape: str, x: float, y: float, *, size: float = RADIUS, said: str = "", **attributes: object
) -> str:
    """A point of one of `SHAPES`, its middle at (x, y); `said` is its title."""
    inner = title(said) if said else ""
    r = size
    if shape == "circle":
        return element("circle", inner, cx=x, cy=y, r=r, **attributes)
    if shape == "square":
        side = round(1.8 * r, 1)
        return element(
            "rect",
            inner,
            x=round(x - side / 2, 1),
            y=round(y - side / 2, 1),
            width=side,
            height=side,
            **attributes,
        )
    return element("path", inner, d=_OUTLINES[shape](x, y, r), **attributes)


_OUTLINES = {
    # Its centre of mass, two thirds down, is the middle.
    "triangle": lambda x, y, r: f"M{x:g} {y - 1.3 * r:g}l{1.2 * r:g} {2 * r:g}h{-2.4 * r:g}z",
    "diamond": lambda x, y, r: (
        f"M{x:g} {y - 1.4 * r:g}l{1.2 * r:g} {1.4 * r:g}"
        f"l{-1.2 * r:g} {1.4 * r:g}l{-1.2 * r:g} {-1.4 * r:g}z"
    ),
    "cross": lambda x, y, r: (
        f"M{x - r:g} {y - r:g}l{2 * r:g} {2 * r:g}m0 {-2 * r:g}l{-2 * r:g} {2 * r:g}"
    ),
}


@dataclass(frozen=True)
class Entry:
    """One entry of a legend: a mark or, for the shape `line`, a line of that class."""

    text: str
    shape: str
    class_: str


def legend(entries: Sequence[Entry], y: float) -> str:
    """Rows of entries from `y` down."""
    parts = []
    columns = _columns(entries)
    for place, entry in enumerate(entries):
        row, column = divmod(place, columns)
        x = LEGEND_LEFT + column * round((WIDTH - LEGEND_LEFT) / columns)
        middle = y + row * LEGEND_ROW
        if entry.shape == "line":
            parts.append(path([(x, middle), (x + 18, middle)], entry.class_))
        else:
            parts.append(mark(entry.shape, x + 9, middle, size=4, class_=entry.class_))
        parts.append(label(shortened(entry.text, 22), x + 24, middle + 4, "key"))
    return "".join(parts)


def legend_height(entries: Sequence[Entry]) -> int:
    """Units that a legend takes below a plot."""
    return LEGEND_ROW * math.ceil(len(entries) / _columns(entries))


def _columns(entries: Sequence[Entry]) -> int:
    is_long = any(len(entry.text) > LONG for entry in entries)
    return FEW_COLUMNS if is_long else MANY_COLUMNS


def shortened(text: str, most: int) -> str:
    """The text, or as much of it as fits and an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def document(
    content: Iterable[str],
    *,
    name: str,
    title_: str,
    said: str,
    height: float,
    width: float = WIDTH,
) -> str:
    """An SVG of its own, named and described to who cannot see it."""
    heading = element("title", escape(clean(title_)), id=f"{name}-title")
    described = element("desc", escape(clean(said)), id=f"{name}-desc") if said else ""
    return element(
        "svg",
        heading + described + "".join(content),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        class_="plot",
        role="group",
        aria_labelledby=f"{name}-title" + (f" {name}-desc" if said else ""),
    )


def axes(
    x: Scale,
    y: Scale,
    x_label: str,
    y_label: str,
    *,
    whole_x: bool = False,
    y_ticks: bool = True,
) -> str:
    """Grid, ticks and the axes' names: that of y stands above, to be read without tilting."""
    top, bottom = y.end, y.start
    xs, ys = x.ticks(6, whole=whole_x), y.ticks(6) if y_ticks else []
    parts = [
        *(path([(x(tick), top), (x(tick), bottom)], "grid") for tick in xs),
        *(path([(x.start, y(tick)), (x.end, y(tick))], "grid") for tick in ys),
        *(
            label(text, x(tick), bottom + 18, "tick", "middle")
            for tick, text in zip(xs, tick_labels(xs), strict=True)
        ),
        *(
            label(text, x.start - 7, y(tick) + 4, "tick", "end")
            for tick, text in zip(ys, tick_labels(ys), strict=True)
        ),
        path([(x.start, bottom), (x.end, bottom)], "axis"),
        label(x_label, x.end, bottom + 38, "name", "end"),
        label(y_label, 4, top - 16, "name"),
    ]
    return element("g", "".join(parts), aria_hidden="true")


def framed(
    name: str,
    title_: str,
    content: str,
    entries: Sequence[Entry] = (),
    *,
    said: str = "",
    note: str = "",
    bottom: float = HEIGHT,
) -> Plot:
    """A plot that ends at `bottom`, with its legend below."""
    svg = document(
        [content, legend(entries, bottom + 6)],
        name=name,
        title_=title_,
        said=said,
        height=bottom + legend_height(entries),
    )
    return Plot(name, title_, svg, note)

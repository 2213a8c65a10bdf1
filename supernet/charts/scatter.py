"""A chart of dots and lines as a small SVG of our own, readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

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
    x = _Axis.over([dot.x for dot in dots], LEFT, WIDTH - RIGHT)
    y = _Axis.over([dot.y for dot in dots], HEIGHT - BOTTOM, TOP)
    middle = (TOP + HEIGHT - BOTTOM) / 2
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'fill="currentColor" font-family="sans-serif" font-size="12">',
            "<style>svg:root { color-scheme: light dark; color: CanvasText }</style>",
            f"<title>{escape(f'{y_label} against {x_label}')}</title>",
            '<g stroke="currentColor" stroke-opacity="0.15">',
            *(f'<path d="M{x.place(at)} {TOP}V{HEIGHT - BOTTOM}"/>' for at in x.ticks),
            *(f'<path d="M{LEFT} {y.place(at)}H{WIDTH - RIGHT}"/>' for at in y.ticks),
            "</g>",
            '<g text-anchor="middle">',
            *(
                f'<text x="{x.place(at)}" y="{HEIGHT - BOTTOM + 18}">{x.label(at)}</text>'
                for at in x.ticks
            ),
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}">{escape(x_label)}</text>',
            f'<text transform="translate(16 {middle}) rotate(-90)">{escape(y_label)}</text>',
            "</g>",
            '<g text-anchor="end">',
            *(
                f'<text x="{LEFT - 8}" y="{y.place(at) + 4:g}">{y.label(at)}</text>'
                for at in y.ticks
            ),
            "</g>",
            *(part for one in series for part in _drawn(one, x, y)),
            "</svg>\n",
        ]
    )


def _drawn(series: Series, x: _Axis, y: _Axis) -> Iterator[str]:
    """The parts of one series: its line, its dots, its label."""
    if series.line:
        points = " ".join(f"{x.place(dot.x)},{y.place(dot.y)}" for dot in series.dots)
        yield f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    opacity = ' fill-opacity="0.25"' if series.faint else ""
    yield f'<g class="{escape(series.name)}"{opacity}>'
    yield from _circles(series.dots, x, y, radius=2 if series.faint else 3)
    yield "</g>"
    if series.label:
        last = series.dots[-1]
        at = f'x="{x.place(last.x) - 4}" y="{y.place(last.y) - 6}"'
        yield f'<text {at} text-anchor="end" font-size="10">{escape(series.label)}</text>'


def _circles(dots: Iterable[Dot], x: _Axis, y: _Axis, radius: int) -> Iterator[str]:
    for dot in dots:
        text = f"<title>{escape(dot.text)}</title>" if dot.text else ""
        yield f'<circle cx="{x.place(dot.x)}" cy="{y.place(dot.y)}" r="{radius}">{text}</circle>'


@dataclass(frozen=True)
class _Axis:
    """Maps values onto SVG units; `ticks` are round values, `step` apart."""

    low: float
    high: float
    start: float
    end: float
    step: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> _Axis:
        """An axis whose ends are the round numbers around all values."""
        low, high = min(values), max(values)
        if low == high:
            low, high = low - (abs(low) or 1) / 20, high + (abs(high) or 1) / 20
        magnitude = 10 ** math.floor(math.log10((high - low) / NUM_TICKS))
        step = next(
            factor * magnitude
            for factor in (1, 2, 5, 10)
            if factor * magnitude * NUM_TICKS >= high - low
        )
        return cls(math.floor(low / step) * step, math.ceil(high / step) * step, start, end, step)

    @property
    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + k * self.step for k in range(count + 1)]

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def label(self, value: float) -> str:
        """With k, M or G, and as many digits as tell the ticks apart."""
        size = max(abs(self.low), abs(self.high))
        scale, suffix = next((scale, suffix) for least, scale, suffix in _SCALES if size >= least)
        digits = max(0, -math.floor(math.log10(self.step / scale) + 1e-9))
        return f"{value / scale:.{digits}f}{suffix}"


_SCALES = ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"), (0, 1, ""))
"""From which size on labels count in what: thousands are k from 10,000 on, 5,800 stays."""

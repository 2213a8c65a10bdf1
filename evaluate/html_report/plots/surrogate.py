"""What a search's surrogate learned: each choice's worth, and how well it guessed each round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluate.html_report.plots.candidates import Search, ranking_of
from supernet.charts.scales import Scale, number
from supernet.charts.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    Plot,
    axes,
    document,
    element,
    framed,
    label,
    mark,
    path,
    shortened,
    title,
)
from supernet.charts.svg import WIDTH as PLOT_WIDTH

WIDTH = 440
ROW = 34
NAME_END = 126
CELLS = (132.0, 440.0)
MIN_NAMED = 46.0
"""A narrower cell has no room for its number; pointing at it tells."""

Row = Mapping[str, Any]


def worths(search: Search) -> Plot | None:
    """A row a position, a cell a choice, the stronger the more it is worth; None: not known."""
    rows = by_position(search["surrogate"]["worths"])
    if not rows:
        return None
    most = max(abs(one["worth"]) for row in rows.values() for one in row) or 1.0
    width = (CELLS[1] - CELLS[0]) / max(map(len, rows.values()))
    parts = []
    for place, (name, row) in enumerate(rows.items()):
        top = place * ROW
        parts.append(label(shortened(name, 18), NAME_END, top + ROW / 2 + 4, "tick", "end"))
        parts += [
            _cell(one, search, CELLS[0] + k * width, top, width, most) for k, one in enumerate(row)
        ]
    most_worth = max((one for row in rows.values() for one in row), key=lambda one: one["worth"])
    heading = "What each choice is worth beyond its OPs"
    svg = document(
        parts,
        name="worths",
        title_=heading,
        said=f"The most is {most_worth['choice']} at {most_worth['position']}: "
        f"{signed(search, most_worth['worth'])} {worth_unit(search)}.",
        height=ROW * len(rows) + 4,
        width=WIDTH,
    )
    note = f"In {worth_unit(search)}; above it, the choice. Blue is better than the mean of the "
    note += "position's choices, orange worse."
    return Plot("worths", heading, svg, note)


def taus(search: Search) -> Plot | None:
    """Kendall's tau of guess and score in each round; None where no round was guessed."""
    found = search["surrogate"]["taus"]
    if not found:
        return None
    x = Scale.over([round_ for round_, _ in found], LEFT, PLOT_WIDTH - RIGHT, whole=True)
    y = Scale.over([0.0, *(tau for _, tau in found)], HEIGHT - BOTTOM, TOP, padding=0.08)
    parts = [
        axes(x, y, "round", "Kendall's tau of guess and score", whole_x=True),
        path([(x.start, y(0.0)), (x.end, y(0.0))], "limit"),
        path([(x(round_), y(tau)) for round_, tau in found], "best"),
        *(
            mark(
                "circle",
                x(round_),
                y(tau),
                said=f"round {round_}: tau {tau:.2f}",
                class_="point dot-best",
            )
            for round_, tau in found
        ),
    ]
    mean = sum(tau for _, tau in found) / len(found)
    said = f"{len(found)} rounds; on average {mean:.2f}."
    note = "Guessed before the round was scored. 1: every pair in the right order; 0: none learnt."
    return framed("taus", "How well rounds were guessed", "".join(parts), [], said=said, note=note)


def by_position(found: Sequence[Row]) -> dict[str, list[Row]]:
    """The worths of each position, in order."""
    rows: dict[str, list[Row]] = {}
    for one in found:
        rows.setdefault(one["position"], []).append(one)
    return rows


def worth_unit(search: Search) -> str:
    """Of a worth as `signed` writes it; more is better."""
    return "thousandths of a nat less" if _has_loss(search) else "points of top-1"


def signed(search: Search, worth: float) -> str:
    """A worth with its sign, in `worth_unit`."""
    return f"{1000 * worth:+.1f}" if _has_loss(search) else f"{worth:+.2f}"


def _has_loss(search: Search) -> bool:
    return ranking_of(search).column == "loss"


def _cell(one: Row, search: Search, left: float, top: float, width: float, most: float) -> str:
    worth = signed(search, one["worth"])
    said = f"{one['position']} = {one['choice']}: {worth} {worth_unit(search)}, "
    said += f"{number(one['scored'])} candidates scored with it"
    middle = left + width / 2
    parts = [
        title(said),
        element(
            "rect",
            x=round(left, 1),
            y=top,
            width=round(width - 2, 1),
            height=ROW - 2,
            class_="gain" if one["worth"] >= 0 else "less",
            fill_opacity=round(0.04 + 0.5 * abs(one["worth"]) / most, 3),
        ),
    ]
    if width >= MIN_NAMED:
        choice = shortened(str(one["choice"]), int(width / 8))
        parts.append(label(choice, round(middle - 1, 1), top + 13, "tick", "middle"))
        parts.append(label(worth, round(middle - 1, 1), top + 27, "", "middle"))
    return element("g", "".join(parts), class_="point block")

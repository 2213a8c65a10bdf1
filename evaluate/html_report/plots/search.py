"""Plots of a search: its progress, its generations, and what it ranks by against each cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluate.html_report.plots.candidates import (
    Ranking,
    Search,
    entries_of,
    points,
    ranking_of,
    rows_of,
)
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
    element,
    framed,
    label,
    mark,
    path,
    shortened,
)
from supernet.costs.table import title_of


def progress(search: Search, *, titled: bool = False) -> Plot:
    """Every candidate over its index, and the best so far. `titled`: each has a title."""
    rows, ranking = rows_of(search), ranking_of(search)
    x = Scale.over([row["index"] for row in rows], LEFT, WIDTH - RIGHT, whole=True)
    y = _scale_of(ranking, rows)
    best = search["best_so_far"]
    steps = _staircase([(x(i), y(value)) for i, value in best], x(max(len(rows) - 1, 0)))
    drawn, note = points(search, rows, [x(row["index"]) for row in rows], y, titled)
    entries = [*entries_of(rows), Entry("best so far", "line", "best")]
    return framed(
        "progress",
        "Search progress",
        axes(x, y, "candidate", ranking.axis, whole_x=True) + drawn + path(steps, "best"),
        entries,
        said=f"{len(rows)} candidates; the best reached {number(best[-1][1])} {ranking.unit} at "
        f"index {best[-1][0]}."
        if best
        else f"{len(rows)} candidates, none of them scored.",
        note=note,
    )


def by_generation(search: Search) -> Plot:
    """Best, median and middle half of each generation."""
    ranking = ranking_of(search)
    found = [one for one in search["generations"] if one["best"] is not None]
    x = Scale.over(
        [one["generation"] for one in search["generations"]], LEFT, WIDTH - RIGHT, whole=True
    )
    worse = "upper_quartile" if ranking.least_is_best else "lower_quartile"
    y = _scale_y([one[name] for one in found for name in ("best", worse)])
    upper = [(x(one["generation"]), y(one["upper_quartile"])) for one in found]
    lower = [(x(one["generation"]), y(one["lower_quartile"])) for one in found]
    # Few generations have a mark each; of hundreds the lines tell all.
    marked = found if len(found) <= 60 else []
    parts = [
        axes(x, y, "generation", ranking.axis, whole_x=True),
        _area([*upper, *reversed(lower)]),
        path([(x(one["generation"]), y(one["median"])) for one in found], "median"),
        path([(x(one["generation"]), y(one["best"])) for one in found], "best"),
        *(
            mark(
                "circle",
                x(one["generation"]),
                y(one["best"]),
                said=f"generation {one['generation']}: {one['candidates']} candidates ("
                + ", ".join(f"{count} {origin}" for origin, count in one["origins"].items())
                + f"), best {number(one['best'])} {ranking.unit}, "
                f"median {number(one['median'])} {ranking.unit}",
                class_="point dot-best",
            )
            for one in marked
        ),
    ]
    entries = [
        Entry("best", "line", "best"),
        Entry("median", "line", "median"),
        Entry("middle half", "square", "area"),
    ]
    said = f"{len(search['generations'])} generations."
    return framed("generations", "By generation", "".join(parts), entries, said=said)


def hypervolume(search: Search) -> Plot | None:
    """The hypervolume after each generation; None where the search recorded none."""
    found = search["hypervolumes"]
    if not found:
        return None
    x = Scale.over([generation for generation, _ in found], LEFT, WIDTH - RIGHT, whole=True)
    y = _scale_y([value for _, value in found])
    parts = [
        axes(x, y, "generation", "hypervolume, share of the box", whole_x=True),
        path([(x(generation), y(value)) for generation, value in found], "best"),
        *(
            mark(
                "circle",
                x(generation),
                y(value),
                said=f"generation {generation}: hypervolume {number(value)}",
                class_="point dot-best",
            )
            for generation, value in found
        ),
    ]
    said = f"From {number(found[0][1])} to {number(found[-1][1])}."
    return framed("hypervolume", "Hypervolume", "".join(parts), [], said=said)


def against_cost(search: Search, cost: str, *, titled: bool = False) -> Plot:
    """Every candidate over one cost: the front, the limits, the winner, the finalists."""
    rows, ranking = rows_of(search), ranking_of(search)
    values = [row["costs"][cost] for row in rows]
    limits = {
        end: search["limits"][f"{end}_{cost}"]
        for end in ("max", "min")
        if f"{end}_{cost}" in search["limits"]
    }
    x = Scale.over([*values, *limits.values()], LEFT, WIDTH - RIGHT)
    y = _scale_of(ranking, rows)
    drawn, note = points(search, rows, list(map(x, values)), y, titled)
    front = [rows[index] for index in search["fronts"].get(cost, [])]
    places = [(x(row["costs"][cost]), y(row[ranking.column])) for row in front]
    name = title_of(cost)
    return framed(
        f"{ranking.column}-{cost.replace('_', '-')}",
        f"{ranking.title} against {name}",
        axes(x, y, name, ranking.axis)
        + "".join(_limit(x(value), y, f"{end} {number(value)}") for end, value in limits.items())
        + drawn
        + path(_staircase(places, x.end), "front")
        + _named(search, rows, cost, x, y),
        [*entries_of(rows), Entry("Pareto front", "line", "front")],
        said=f"{len(front)} candidates are on the Pareto front of {name} and {ranking.name}.",
        note=note,
    )


def _scale_of(ranking: Ranking, rows: Sequence[Mapping[str, Any]]) -> Scale:
    return _scale_y([value for row in rows if (value := row[ranking.column]) is not None])


def _scale_y(values: Iterable[float]) -> Scale:
    return Scale.over(values, HEIGHT - BOTTOM, TOP, padding=0.08)


def _staircase(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Through points in ascending x, level until the next; the last goes on to `end`."""
    found: list[tuple[float, float]] = []
    for x, y in points:
        if found:
            found.append((x, found[-1][1]))
        found.append((x, y))
    return [*found, (max(end, found[-1][0]), found[-1][1])] if found else []


def _area(points: Sequence[tuple[float, float]]) -> str:
    if len(points) < 4:
        return ""
    return element("path", d="M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "z", class_="area")


def _limit(x: float, y: Scale, text: str) -> str:
    """A limit on a cost, named at its foot, on the side where there is room."""
    is_right = x > WIDTH / 2
    return path([(x, y.start), (x, y.end)], "limit") + label(
        text, x + (-5 if is_right else 5), y.start - 8, "limit-name", "end" if is_right else "start"
    )


def _named(search: Search, rows: Sequence[Mapping[str, Any]], cost: str, x: Scale, y: Scale) -> str:
    """Rings around the finalists and the winner, which alone is named."""
    parts = []
    column = ranking_of(search).column
    marked = {index: name for name, index in search["finalists"].items()}
    if search["winner"] is not None:
        marked[search["winner"]] = "winner"
    for index, name in sorted(marked.items()):
        row = rows[index]
        if row[column] is None:
            continue
        at_x, at_y = x(row["costs"][cost]), y(row[column])
        parts.append(mark("circle", at_x, at_y, size=7.0, class_="ring", data_c=index))
        anchor = "end" if at_x > WIDTH / 2 else "start"
        parts.append(
            label(
                shortened(name, 22),
                at_x + (-11 if anchor == "end" else 11),
                at_y - 7,
                "ring-name",
                anchor,
            )
        )
    return "".join(parts)

"""The marks of a search's candidates: a shape and a colour an origin, hollow for a guess."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from supernet.charts.scales import Scale, number
from supernet.charts.svg import SHAPES, Entry, element, mark
from supernet.costs.table import title_of

Search = Mapping[str, Any]

ORIGINS = ("random", "mutation", "crossover", "given", "design")
"""Each has a shape and a colour of its own; others take what is left, in turn."""


class Ranking(NamedTuple):
    """What candidates rank by: its column, names of it, and where on an axis the worst is.

    `axis` is what stands beside one, `unit` what follows a number.
    """

    column: str
    title: str
    name: str
    axis: str
    unit: str
    least_is_best: bool = False


RANKINGS = {
    "top1": Ranking("top1", "Accuracy", "top-1", "top-1, % of the search split", "%"),
    "loss": Ranking(
        "loss",
        "Cross-entropy",
        "cross-entropy",
        "cross-entropy, nats: less is better",
        "nats",
        True,
    ),
}


def ranking_of(search: Search) -> Ranking:
    """What the search ranks by."""
    return RANKINGS[search["ranked_by"]]


def rows_of(search: Search) -> list[dict[str, Any]]:
    """The candidates by the names of their columns, costs by theirs."""
    table = search["candidates"]
    return [
        {**row, "costs": dict(zip(table["costs"], row["costs"], strict=True))}
        for values in table["rows"]
        for row in [dict(zip(table["columns"], values, strict=True))]
    ]


def points(
    search: Search,
    rows: Sequence[Mapping[str, Any]],
    xs: Sequence[float],
    y: Scale,
    titled: bool,
) -> tuple[str, str]:
    """A mark for each candidate, and what is not drawn, in words.

    Failed ones stand where the worst is. Hollow ones were stopped early: their top-1 is a guess.
    """
    ranking = ranking_of(search)
    worst = y.end if ranking.least_is_best else y.start
    values = [row[ranking.column] for row in rows]
    places = [
        (at, worst if value is None else y(value), _sort(row))
        for at, value, row in zip(xs, values, rows, strict=True)
    ]
    kept = {index for front in search["fronts"].values() for index in front}
    kept |= {index for index, _ in search["best_so_far"]}
    kept |= set(search["finalists"].values()) | {search["winner"]} - {None}
    drawn = thin(places, kept)
    parts = []
    for index in drawn:
        (at_x, at_y, _), row = places[index], rows[index]
        said = candidate_text(row, search) if titled else ""
        parts.append(mark(_shape(row), at_x, at_y, said=said, class_=_class(row), data_c=index))
    hidden = len(rows) - len(drawn)
    note = ""
    if hidden:
        note = f"{len(drawn):,} of {len(rows):,} candidates are drawn; the others lie beneath them."
    return element("g", "".join(parts) or " ", class_="points"), note


def candidate_text(row: Mapping[str, Any], search: Search) -> str:
    """One candidate in words."""
    if row["top1"] is None:
        top1 = f"failed: {row['failure']}"
    elif row["images"] is not None:
        top1 = f"about {number(row['top1'])} %, stopped after {number(row['images'])} images"
    else:
        top1 = f"{number(row['top1'])} %"
    if row.get("loss") is not None:
        top1 += f", cross-entropy {loss_text(row['loss'], row['loss_error'])}"
    costs = "; ".join(f"{title_of(name)} {number(row['costs'][name])}" for name in search["costs"])
    choices = ",".join(map(str, row["choices"]))
    return f"candidate {row['index']} ({row['origin']}): {top1}\n{choices}\n{costs}"


def loss_text(loss: float, error: float | None) -> str:
    """0.5123 ± 0.0102 nats: the standard error follows where it is known."""
    return f"{loss:.4f} nats" if error is None else f"{loss:.4f} ± {error:.4f} nats"


def _sort(row: Mapping[str, Any]) -> tuple[str, bool, bool]:
    return row["origin"], row["top1"] is None, row["images"] is not None


def _place(origin: str) -> int:
    return ORIGINS.index(origin) if origin in ORIGINS else len(ORIGINS)


def _shape(row: Mapping[str, Any]) -> str:
    return "cross" if row["top1"] is None else SHAPES[_place(row["origin"]) % 4]


def _class(row: Mapping[str, Any]) -> str:
    if row["top1"] is None:
        return "failed"
    hollow = "" if row["images"] is None else " guess"
    return f"o{_place(row['origin'])}{hollow}"


def entries_of(rows: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """What the marks mean that there are."""
    origins = sorted({row["origin"] for row in rows}, key=lambda o: (_place(o), o))
    found = [Entry(origin, SHAPES[_place(origin) % 4], f"o{_place(origin)}") for origin in origins]
    if any(row["images"] is not None and row["top1"] is not None for row in rows):
        found.append(Entry("stopped early", "circle", "guess o9"))
    if any(row["top1"] is None for row in rows):
        found.append(Entry("failed", "cross", "failed"))
    return found


MAX_DRAWN = 1200
"""Points of one plot."""

Placed = tuple[float, float, Hashable]
"""Place in SVG units, and what sort of point it is: only equal sorts hide each other."""


def thin(points: Sequence[Placed], kept: Collection[int] = (), most: int = MAX_DRAWN) -> list[int]:
    """Indices of the points to draw, ascending: all of `kept`, and about `most` at most.

    The plot is cut into squares of 1 unit, 2 units, ... until few enough are filled; the first of
    each sort in a square is drawn for all.
    """
    if len(points) <= most:
        return list(range(len(points)))
    wanted = set(kept)
    side = 0
    while True:
        side += 1
        first: dict[tuple[int, int, Hashable], int] = {}
        for index, (x, y, sort) in enumerate(points):
            first.setdefault((int(x // side), int(y // side), sort), index)
        drawn = wanted.union(first.values())
        # Squares that no longer become fewer: every sort has filled one.
        if len(drawn) <= max(most, len(wanted)) or side > 1000:
            return sorted(drawn)

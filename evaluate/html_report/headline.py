"""The top of the page: what was found, on which data, under which limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evaluate.finals.report import who_won
from evaluate.html_report.markup import Markup, copyable, joined, tag
from evaluate.retrain.report import told
from evaluate.retrain.starts import TRAINED_ON
from supernet.charts.scales import number
from supernet.costs.limits import describe_limits
from supernet.costs.table import title_of

Facts = Mapping[str, Any]

TOP1 = "top\u20111"
"""With a hyphen at which no line breaks."""


def heading(facts: Facts) -> str:
    """The page's title in one line."""
    winner, data = facts["winner"], facts["data"]["name"]
    if winner is None:
        return f"A search on {data}, nothing scored yet"
    if winner["is_retrained"]:
        top1 = with_spread(winner["test_top1"], winner["test_top1_std"])
        return f"{top1}\u00a0% {TOP1} on the test split of {data}"
    return f"{winner['search_top1']:.2f}\u00a0% {TOP1} on the search split of {data}"


def with_spread(mean: float, std: float | None) -> str:
    """79.77 ± 0.36; without ± of a single seed. Its spaces do not break."""
    return f"{mean:.2f}" if std is None else f"{mean:.2f}\u00a0±\u00a0{std:.2f}"


def headline(facts: Facts) -> Markup:
    """Title, a sentence of how, the figures as tiles, and what could not be found."""
    winner = facts["winner"]
    parts = [
        tag("p", "evobit report", class_="eyebrow"),
        tag("h1", heading(facts)),
        tag("p", " ".join(_sentences(facts)), class_="lede"),
    ]
    if winner is not None:
        parts.append(tag("dl", *_tiles(winner), class_="tiles"))
        choices = ",".join(map(str, winner["choices"].values()))
        parts.append(tag("h2", "The architecture", class_="small"))
        parts.append(copyable(choices, "the architecture"))
    if facts["report"] is not None and facts["report"]["differences"]:
        parts.append(differences(facts["report"]))
    if facts["missing"]:
        parts.append(
            tag(
                "aside",
                tag("h2", "Not found", class_="small"),
                tag("ul", *(tag("li", one) for one in facts["missing"])),
                class_="missing",
            )
        )
    return tag("header", *parts)


def _sentences(facts: Facts) -> Iterator[str]:
    search, report, winner = facts["search"], facts["report"], facts["winner"]
    if search is not None:
        failed = f", {search['num_failed']:,} failed" if search["num_failed"] else ""
        early = search["num_stopped_early"]
        failed += f", {early:,} stopped early" if early else ""
        state = "" if search["is_finished"] else " so far: the search is not finished"
        yield f"Best of {search['num_candidates']:,} candidates{failed}{state}."
        yield from _ranking(search)
    limits = "; or ".join(describe_limits(one) for one in facts["limits"] if one)
    yield f"Limits: {limits or 'none'}."
    if facts["finals"] is not None:
        yield f"In the finals {who_won(facts['finals'])}"
    if report is not None:
        seeds, name = (winner["seeds"], winner["name"]) if winner else (0, None)
        row: Facts = next((one for one in report["networks"] if one["name"] == name), {})
        epochs = number(row.get("epochs", report["epochs"]))
        is_on = row.get("start") == TRAINED_ON
        how = "on from weights of the supernet" if is_on else "from scratch"
        yield f"Trained {how} for {epochs} epochs with {seeds} seeds;"
        yield "± is the standard deviation over seeds."
    else:
        yield "No network was retrained yet: top-1 is an estimate with the supernet's weights, on "
        yield "images held out of the training split."


def _ranking(search: Facts) -> Iterator[str]:
    """By what candidates rank, where it is not top-1, and what the images leave open."""
    if search["ranked_by"] == "loss":
        yield "They rank by cross-entropy on the search split, less is better."
    noise = search["noise"]
    if noise is not None:
        near, scored = noise["within_noise"], noise["scored"]
        verb = "is" if near == 1 else "are"
        yield f"{near:,} of {scored:,} candidates {verb} within noise of the best, itself counted: "
        yield "at most 1.96 standard errors of a difference worse, so that other images might "
        yield "rank them otherwise."


def _tiles(winner: Facts) -> Iterator[Markup]:
    if winner["is_retrained"]:
        top1 = with_spread(winner["test_top1"], winner["test_top1_std"])
        yield _tile("top-1 %, test split", top1)
    loss, error = winner.get("search_loss"), winner.get("search_error")
    if loss is not None:
        yield _tile("cross-entropy in the search, nats", f"{loss:.4f}")
    if loss is not None and error is not None:
        yield _tile("its standard error over images", f"{error:.4f}")
    if winner["search_top1"] is not None:
        yield _tile("top-1 %, in the search", f"{winner['search_top1']:.2f}")
    if loss is None and error is not None:
        yield _tile("its standard error over images", f"{error:.2f}")
    for name, value in winner["costs"].items():
        yield _tile(title_of(name), number(value))


def _tile(name: str, value: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value))


def differences(report: Facts) -> Markup:
    """Finalists less baselines, in points."""
    lines = [
        tag(
            "li",
            f"{one['finalist']} minus {one['baseline']}: ",
            tag("strong", told(one)),
        )
        for one in report["differences"]
    ]
    return joined(
        [
            tag("h2", "Against baselines", class_="small"),
            tag("ul", *lines, class_="differences"),
            tag(
                "p",
                "± here is the 95 % interval over the test images, for the very networks trained.",
                class_="note",
            ),
        ]
    )

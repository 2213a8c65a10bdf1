"""The sections below the headline: plots with their tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from evaluate.finals.report import how, table_of, who_won
from evaluate.html_report.headline import with_spread
from evaluate.html_report.markup import Markup, copyable, folded, table, tag
from evaluate.html_report.plots.surrogate import signed, worth_unit
from evaluate.retrain.by_class import class_table
from evaluate.retrain.columns import Cell, columns
from supernet.charts.scales import number
from supernet.charts.svg import Plot
from supernet.costs.table import title_of

Facts = Mapping[str, Any]


def sections(
    facts: Facts, plots: Mapping[str, Sequence[Plot]]
) -> Iterator[tuple[str, str, Markup]]:
    """Id, name and content of each section that there is something for."""
    search, report, network = facts["search"], facts["report"], facts["network"]
    if plots["search"]:
        yield "search", "Search", _figures(plots["search"], _generations(search))
    if plots["costs"]:
        yield "costs", "Accuracy and cost", _figures(plots["costs"], *_same_costs(search))
    if plots["surrogate"]:
        yield "surrogate", "The surrogate", _figures(plots["surrogate"], *_worths(search))
    if plots["finals"]:
        yield "finals", "Finals", _figures(plots["finals"], *_finals(facts["finals"]))
    if plots["finalists"]:
        yield "finalists", "Finalists", _figures(plots["finalists"], _networks(report))
    if plots["blocks"]:
        yield "network", "The network", _figures(plots["blocks"], *_blocks(network))
    if plots["latency"]:
        yield "latency", "Latency", _figures(plots["latency"], *_latency(facts))
    if plots["training"]:
        yield "training", "Training", _figures(plots["training"])


def _figures(plots: Sequence[Plot], *below: str) -> Markup:
    figures = [
        tag(
            "figure",
            tag("figcaption", plot.title),
            Markup(plot.svg),
            *([tag("p", plot.note, class_="note")] if plot.note else []),
        )
        for plot in plots
    ]
    return tag("div", tag("div", *figures, class_="figures"), *below)


def _generations(search: Facts) -> Markup:
    has_loss = search["ranked_by"] == "loss"
    shown = _nats if has_loss else _percent
    unit, more = ("nats", ["its top-1 %"]) if has_loss else ("%", [])
    heads = ["generation", "candidates", "failed", f"best {unit}", *more, f"median {unit}"]
    heads.append("origins")
    rows = [
        [
            str(one["generation"]),
            str(one["candidates"]),
            str(one["failed"]),
            shown(one["best"]),
            *([_percent(one["best_top1"])] if has_loss else []),
            shown(one["median"]),
            ", ".join(f"{count} {origin}" for origin, count in one["origins"].items()),
        ]
        for one in search["generations"]
    ]
    return folded("Every generation as a table", table(heads, rows, "Generations of the search"))


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _nats(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _same_costs(search: Facts) -> Iterator[Markup]:
    same = search["same_costs"]
    if same:
        listed = ", ".join(f"{title_of(n)} {number(value)}" for n, value in same.items())
        yield tag("p", f"The same for all candidates: {listed}.", class_="note")


def _worths(search: Facts) -> Iterator[Markup]:
    found = search["surrogate"]["worths"]
    if not found:
        return
    said = "A choice's worth: the mean that the surrogate guesses with it at its place in the "
    said += "architectures scored, less the mean over the place's choices, less what its OPs alone "
    said += "would bring by a straight line of score over log OPs. It is what the surrogate holds, "
    said += "not a measurement: little where few candidates had the choice."
    yield tag("p", said, class_="note")
    heads = ["position", "choice", f"worth, {worth_unit(search)}", "candidates with it"]
    rows = [
        [one["position"], str(one["choice"]), signed(search, one["worth"]), number(one["scored"])]
        for one in found
    ]
    yield folded("Every choice as a table", table(heads, rows, "Worth beyond OPs", text_columns=2))


def _finals(summary: Facts) -> Iterator[Markup]:
    yield tag("p", who_won(summary))
    heads, lines = table_of(summary)
    yield table(heads, lines, "Networks of the finals", text_columns=2)
    yield tag("p", how(summary), class_="note")


def _networks(report: Facts) -> Markup:
    shown = columns(report["networks"])
    body = zip(*(map(_cell, one.cells) for one in shown), strict=True)
    notes = [tag("p", note, class_="note") for note in report["notes"]]
    return tag(
        "div",
        table([one.title for one in shown], body, "Networks on the test split"),
        *notes,
        *_classes(report),
    )


def _classes(report: Facts) -> Iterator[Markup]:
    found = class_table(report["networks"])
    if found is None:
        return
    rows = table(found.heads, found.lines, "Top-1 of each class on the test split")
    more = [tag("p", found.left_out, class_="note")] if found.left_out else []
    yield folded("Every class as a table", tag("div", rows, *more))


def _cell(cell: Cell) -> str:
    """A cell of the report's table."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, tuple):
        mean, std = cell
        return "–" if mean is None else with_spread(mean, std)
    return number(cell)


def _blocks(network: Facts) -> Iterator[Markup]:
    legend = "Strong bars are 1-bit convolutions, pale ones real; widths are drawn as their square "
    legend += "roots; /2 is the stride, g8 eight groups."
    predicted = network["predicted_ms"]
    if predicted is not None:
        legend += f" Times are the latency table's; it predicts {number(predicted)} ms in "
        legend += "all, after its linear correction."
    yield tag("p", legend, class_="note")
    yield from (tag("p", note, class_="note") for note in network["notes"])
    names = ["kind", "kernel_size", "in_channels", "out_channels", "stride", "groups", "in_size"]
    names += ["out_size", "shortcut", "ops", "parameters", "bits", "ms"]
    heads = ["block", *(name.replace("_", " ") for name in names)]
    rows = [
        [one["name"], *(v if isinstance(v := one[name], str) else number(v) for name in names)]
        for one in network["blocks"]
    ]
    yield folded("Every block as a table", table(heads, rows, "Blocks", text_columns=2))


def _latency(facts: Facts) -> Iterator[Markup]:
    about = facts["latency"]
    if about is not None:
        error = about["mean_error_percent"]
        tested = f"; off by {error:.1f} % on average on networks it had not seen" if error else ""
        yield tag(
            "p",
            f"Table of {about['device']}, {about['isa'] or 'no'} kernels, {about['threads']} "
            f"thread(s), batch {about['batch']}, {about['date']}{tested}.",
            class_="note",
        )
    heads = ["candidate", "top-1 %", "predicted ms", "measured ms", "keeps the limits"]
    rows = [
        [
            str(one["index"]),
            _percent(one["top1"]),
            number(one["predicted_ms"]),
            number(one["measured_ms"]),
            "yes" if one["kept"] else "no",
        ]
        for one in facts["search"]["measured"]
    ]
    yield table(heads, rows, "Candidates that were measured")


def provenance_section(facts: Facts) -> Markup:
    """A card a run, the newest first, and the commands in the order to type them."""
    runs = facts["provenance"]
    return tag(
        "div",
        tag("h3", "To repeat it"),
        tag(
            "p",
            "The commands as they were typed, in their order; an export is told from its file. A "
            "config may have changed since: the resolved one of each run stands below, and as "
            "config.yaml in its folder.",
            class_="note",
        ),
        copyable("\n\n".join(facts["commands"]), "the commands"),
        *map(_run, runs),
    )


def _run(run: Facts) -> Markup:
    facts = [
        tag("div", tag("dt", name), tag("dd", value, class_=_class(name)))
        for name, value in _entries(run)
    ]
    inputs = [
        [one["name"], one["path"], tag("code", one["sha256"]), "yes" if one["is_there"] else "no"]
        for one in run["inputs"]
    ]
    heads = ["input", "path", "SHA-256", "still there"]
    return tag(
        "article",
        tag("h3", f"{run['stage']}: {run['run']}"),
        tag("dl", *facts, class_="facts"),
        *(
            [table(heads, inputs, f"Inputs of the {run['stage']} run", text_columns=4)]
            * bool(inputs)
        ),
        folded(
            "The resolved config",
            copyable(yaml.safe_dump(run["config"], sort_keys=False), "the config"),
        ),
    )


def _entries(run: Facts) -> Iterator[tuple[str, str]]:
    yield "started", _time(run["created"])
    yield "finished", _time(run["finished"]) if run["is_finished"] else "not finished"
    yield "seed", _text(run["seed"])
    yield "git commit", _text(run["git_commit"])
    yield "machine", _text(run["machine"])
    versions = [f"{name} {version}" for name, version in run["versions"].items() if version]
    yield "versions", ", ".join([f"Python {_text(run['python'])}", *versions])
    for name, digest in run["splits"].items():
        yield f"{name} split, SHA-256", digest


def _class(name: str) -> str | None:
    return "hash" if name.endswith("SHA-256") or name == "git commit" else None


def _time(text: str | None) -> str:
    """To the second: "2026-01-02T03:04:05.678+00:00" is shown as "2026-01-02 03:04:05 UTC"."""
    if not text:
        return "unknown"
    return re.sub(r"\.[0-9]+", "", text).replace("T", " ").replace("+00:00", " UTC")


def _text(value: Any) -> str:
    return "unknown" if value is None else str(value)

"""The table of a retraining: finalists against baselines, with spread and paired differences."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from evaluate.over_images import Right, from_text, paired_interval
from evaluate.retrain.by_class import class_table, notes_on_classes
from evaluate.retrain.columns import Cell, columns
from evaluate.retrain.compute import compute_of
from evaluate.retrain.config import STAGE
from evaluate.retrain.spread import spread
from evaluate.retrain.starts import TRAINED_ON
from supernet.costs.limits import broken, describe_limits, limits_from
from supernet.files import as_written, write_json, write_text
from training.run_files.folder import open_finished

Row = dict[str, Any]

COMPUTE = (
    "Core-minutes: by the runs' logs, time times threads, of the own training (mean of the seeds), "
    "and in all: with the supernet of what is trained on, and of what was found with its search, "
    "the supernet of that and the finals that chose it."
)


@dataclass(frozen=True)
class Report:
    """`rows`: a network each; `differences`: finalist less baseline, in points of test top-1.

    `limits`: the distinct sets of limits; the roles of a row count them from 0. `notes`: what a
    reader must know of single networks, in words.
    """

    data: str
    epochs: int
    limits: list[dict[str, float]]
    rows: list[Row]
    differences: list[Row]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-able data."""
        return {
            "data": self.data,
            "epochs": self.epochs,
            "limits": self.limits,
            "networks": self.rows,
            "differences": self.differences,
            "notes": self.notes,
        }

    @property
    def markdown(self) -> str:
        """The report as Markdown."""
        several = len({row.get("epochs", self.epochs) for row in self.rows}) > 1
        epochs = "trained as the table says" if several else f"{self.epochs} epochs of training"
        limits = "; or ".join(map(describe_limits, self.limits))
        if len(self.limits) == 1:
            limits = f"limits: {limits if self.limits[0] else 'none'}"
        else:
            limits = f"each finalist against baselines under its own limits: {limits}"
        shown = [
            (one.short or one.title, *map(_cell, one.cells))
            for one in columns(self.rows)
            if one.in_markdown
        ]
        heads, *rows = map(_line, zip(*shown, strict=True))
        lines = [
            f"Test split of {self.data}, {epochs}; {limits}.",
            "",
            heads,
            "|---" * len(shown) + "|",
            *rows,
            "",
            *(
                f"- {one['finalist']} minus {one['baseline']}: {told(one)}"
                for one in self.differences
            ),
            *(f"- {note}" for note in self.notes),
            "",
            *self._classes(),
            "± after a network: standard deviation over seeds. ± after a difference: 95 % interval "
            "over the test images, for these very networks; how seeds differ is said apart.",
            *(["", COMPUTE] if any("start" in row for row in self.rows) else []),
        ]
        return "\n".join(lines) + "\n"

    def _classes(self) -> list[str]:
        """The table of classes, where the run recorded them."""
        table = class_table(self.rows)
        if table is None:
            return []
        heads, *lines = map(_line, (table.heads, *table.lines))
        more = [f"- {table.left_out}; report.json has all"] if table.left_out else []
        return [heads, "|---" * len(table.heads) + "|", *lines, "", *more, *[""] * bool(more)]


def _line(cells: Iterable[str]) -> str:
    """A line of a Markdown table, of names as they come."""
    texts = (" ".join(cell.replace("|", "\\|").split()) for cell in cells)
    return f"| {' | '.join(texts)} |"


def report(run: Path) -> Report:
    """Make the report of a finished retraining; writes report.md and report.json into its folder.

    Raises:
        UserError: not a finished retraining.
    """
    made = read_report(run)
    write_report(run, made)
    return made


def write_report(run: str | Path, made: Report) -> None:
    """Write report.json and report.md into the run folder."""
    write_json(Path(run) / "report.json", made.as_dict())
    write_text(Path(run) / "report.md", made.markdown)


def read_report(run: Path) -> Report:
    """The report of a finished retraining, of which nothing is written.

    Raises:
        UserError: not a finished retraining.
    """
    folder = open_finished(run, STAGE)
    summary = folder.summary or {}
    with as_written(folder.manifest_file):
        limit_sets = summary.get("limit_sets") or [
            # Older runs recorded one set of limits, and of each network one role.
            {"limits": summary["limits"], "num_uniform": None}
        ]
        rows = [{**_row(network), **compute_of(network, folder)} for network in summary["networks"]]
        differences, notes = _differences(rows, limit_sets)
        for row in rows:
            row.pop("right", None)  # bits of each image are no figure of a table
        made = Report(
            data=folder.config["data"]["name"],
            epochs=summary["epochs"],
            limits=[one["limits"] for one in limit_sets],
            rows=rows,
            differences=differences,
            notes=[
                *_outside(rows, limit_sets),
                *notes,
                *notes_on_classes(rows),
                *_not_counted(rows),
            ],
        )
        made.markdown  # noqa: B018  it is the check of all that is shown
    return made


def _row(network: Row) -> Row:
    top1 = network["test_top1"]
    return {
        "name": network["name"],
        "kind": network["kind"],
        "roles": network.get("roles")
        or [{"name": network["name"], "kind": network["kind"], "limits": 0}],
        "choices": network["choices"],
        "top1": top1,
        "top1_mean": fmean(top1),
        "top1_std": spread(top1),
        "top5_mean": fmean(network["test_top5"]),
        **_by_class(network),
        **({"right": network["test_right"]} if "test_right" in network else {}),
        **network["costs"],
        "networks": network["networks"],
    }


def _by_class(network: Row) -> Row:
    """Balanced top-1, and of each class the images and how many were found in each seed.

    Nothing of a run that recorded neither.
    """
    if "test_classes" not in network:
        return {}
    seeds = network["test_classes"]
    return {
        "balanced_top1_mean": fmean(network["test_balanced_top1"]),
        "balanced_top1_std": spread(network["test_balanced_top1"]),
        "classes": {
            name: {"images": one["images"], "correct": [seed[name]["correct"] for seed in seeds]}
            for name, one in seeds[0].items()
        },
    }


def _outside(rows: Sequence[Row], limit_sets: Sequence[Row]) -> list[str]:
    """The finalists that break the limits they are compared under, in words."""
    return [
        f"{name} is outside its limits: {'; '.join(problems)}"
        for row in rows
        for name, number in _roles(row, "finalist")
        if (problems := broken(limits_from(limit_sets[number]["limits"]), row))
    ]


def _not_counted(rows: Sequence[Row]) -> list[str]:
    """The networks of which it is not known what went before them, in words."""
    return [
        f"what {row['name']} took in all is not known: its search or finals lay neither beside its "
        f"file nor beside the run, or its log is not there"
        for row in rows
        if "start" in row and row["core_minutes"] is None
    ]


def _differences(rows: Sequence[Row], limit_sets: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Each finalist less its baselines, and the baselines that a finalist is itself.

    The baselines are those under its own limits that began as it did: the best uniform network
    other than the finalist, those given, and the mean of the random ones. One trained on is also
    compared with itself from scratch.
    """
    differences: list[Row] = []
    notes: list[str] = []
    for row in rows:
        for finalist, number in _roles(row, "finalist"):
            alike = [one for one in rows if one.get("start") == row.get("start")]
            uniform = _in_role(alike, "uniform", number)
            given = _in_role(alike, "given", number)
            drawn = _in_role(alike, "random", number)
            itself = [name for name, one in (*uniform, *given, *drawn) if one is row]
            notes += [f"{name} is {_the(finalist)} itself" for name in itself]
            against: list[tuple[str, Sequence[Row]]] = []
            if others := [(name, one) for name, one in uniform if one is not row]:
                name, best = max(others, key=lambda pair: pair[1]["top1_mean"])
                other = "other " if len(others) < len(uniform) else ""
                # Of an untrained one nobody knows whether it is better.
                are_all = len(uniform) == limit_sets[number]["num_uniform"]
                trained = "" if are_all else " trained"
                against.append((f"{name} (the best {other}uniform network{trained})", [best]))
            against += [(name, [one]) for name, one in given if one is not row]
            if row.get("start") == TRAINED_ON:
                against += [(one["name"], [one]) for one in _other_starts(rows, row)]
            if drawn:
                name = _mean_of(len(drawn), limit_sets, number)
                against.append((name, [one for _, one in drawn]))
            differences += [_difference(finalist, row, name, rows) for name, rows in against]
    return differences, notes


def _the(finalist: str) -> str:
    """A lone finalist has no number and takes the article."""
    return "the finalist" if finalist == "finalist" else finalist


def _mean_of(count: int, limit_sets: Sequence[Row], number: int) -> str:
    networks = "random networks" if count > 1 else "random network"
    if len(limit_sets) == 1:
        return f"the mean of {count} {networks}"
    return f"the mean of {count} {networks} ({describe_limits(limit_sets[number]['limits'])})"


def _difference(finalist: str, row: Row, baseline: str, others: Sequence[Row]) -> Row:
    """A finalist less the mean of some networks, with what is not certain about it.

    `half_width`: of the 95 % interval over test images, for the very networks trained; None where
    the run did not record which images each found. `std`: of the difference over seeds.
    """
    of_seeds = zip(row["top1"], *(one["top1"] for one in others), strict=True)
    paired = [ours - fmean(theirs) for ours, *theirs in of_seeds]
    half_width = None
    if all("right" in one for one in (row, *others)):
        ours, *theirs = ([*_right(one)] for one in (row, *others))
        _, half_width = paired_interval(ours, [*itertools.chain(*theirs)])
    return {
        "finalist": finalist,
        "baseline": baseline,
        "mean": fmean(paired),
        "half_width": half_width,
        "std": spread(paired),
        "seeds": len(paired),
    }


def _right(row: Row) -> Iterator[Right]:
    """Of each seed which test images it found."""
    images = sum(one["images"] for one in row["classes"].values())
    return (from_text(text, images) for text in row["right"])


def told(difference: Row) -> str:
    """The difference in words: points, its interval, and how much seeds differ."""
    mean, half = difference["mean"], difference["half_width"]
    text = f"{mean:+.2f} points" + ("" if half is None else f" ± {half:.2f}")
    if half is not None and abs(mean) <= half:
        text += ", no evidence of a difference"
    if difference["std"] is not None:
        text += (
            f" ({difference['seeds']} seeds; their differences spread by {difference['std']:.2f})"
        )
    elif half is not None:
        text += " (one seed: another training may differ by more)"
    return text


def _other_starts(rows: Sequence[Row], row: Row) -> list[Row]:
    """The same network where it began otherwise."""
    return [one for one in rows if one["choices"] == row["choices"] and one is not row]


def _roles(row: Row, kind: str) -> list[tuple[str, int]]:
    """Name and set of limits of each role of that kind."""
    return [(role["name"], role["limits"]) for role in row["roles"] if role["kind"] == kind]


def _in_role(rows: Sequence[Row], kind: str, number: int) -> list[tuple[str, Row]]:
    """The networks of that kind under the limits `number`, by their names there."""
    return [(name, row) for row in rows for name, of in _roles(row, kind) if of == number]


def _cell(cell: Cell) -> str:
    """A cell in Markdown."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, tuple):
        mean, std = cell
        return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"
    return f"{cell:,.10g}"

"""All that the page says, as one JSON-able document: read from the runs, drawn by others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluate.html_report.facts.history import curves
from evaluate.html_report.facts.network import describe, table_points
from evaluate.html_report.facts.provenance import commands, provenance
from evaluate.html_report.facts.search import search_facts, winner_of
from evaluate.lineage import Lineage, config_of, trace
from evaluate.retrain.report import read_report
from evaluate.retrain.spread import mean_and_interval
from supernet.files import UserError
from supernet.spaces import space_class
from training.run_files.folder import RunFolder

FORMAT = "evobit/html-report"
VERSION = 1
STAGES = ("retrain", "finals", "search")

Facts = dict[str, Any]

Worths = Callable[[Path], Sequence[Facts]]
"""From the run folder of a search with a surrogate to the worth of each choice, a row each."""


def collect(
    run: Path,
    search: Path | None = None,
    space: str | None = None,
    worths: Worths | None = None,
) -> Facts:
    """The facts of a finished retraining, of finals or a search, and of all that they build on.

    `search`: the search of a retraining's finalists, where it lies elsewhere. `space`: the user's
    own search space that the runs may name. `worths` tells what a search's surrogate learned.
    What could not be found is in `missing`, in words.

    Raises:
        UserError: another stage's run, an unfinished retraining, a damaged history.
    """
    if space is not None:
        space_class(space)  # naming it here is what permits a file to name it
    lineage = trace(Path(run), search)
    top = lineage.runs[0]
    if top.stage not in STAGES:
        raise UserError(
            f"{run}: holds a run of stage '{top.stage}'; a page is made of {' or '.join(STAGES)}"
        )
    report = _report(top) if top.stage == "retrain" else None
    finalists = [row for row in (report or {}).get("networks", []) if row["kind"] == "finalist"]
    searched, held = lineage.of("search"), lineage.of("finals")
    found = search_facts(searched, finalists) if searched else None
    if searched and found and found["surrogate"] and found["winner"] is not None and worths:
        try:
            found["surrogate"]["worths"] = worths(searched.path)
        except UserError as error:
            lineage.missing.append(f"what the surrogate learned: {error}")
    table = lineage.files.get("latency table")
    winner = winner_of(finalists, found)
    return plain(
        {
            "format": FORMAT,
            "version": VERSION,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "run": str(run),
            "stage": top.stage,
            "data": _data(lineage),
            "limits": report["limits"] if report else [found["limits"]] if found else [],
            "winner": winner,
            "report": report,
            "search": found,
            "finals": held.summary if held is not None else None,
            "network": _network(top, winner, table, lineage.missing),
            "latency": _latency(table, lineage.missing),
            "training": _training(lineage),
            "provenance": [provenance(one) for one in lineage.runs],
            "commands": commands(lineage),
            "missing": lineage.missing,
        }
    )


def plain(value: Any) -> Any:
    """JSON-able data: what is not a number (nan, inf) as null, what is no JSON as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _report(run: RunFolder) -> Facts:
    """What `evobit report --json` prints, and the 95 % interval of each mean."""
    made = read_report(run.path).as_dict()
    for row in made["networks"]:
        row["half_width"] = mean_and_interval(row["top1"])[1]
    return made


def _data(lineage: Lineage) -> Facts:
    """The data set as the newest run that recorded it has it; else as configured."""
    recorded = [one for run in lineage.runs if (one := run.manifest.get("data"))]
    configured = [one for run in lineage.runs if (one := config_of(run).get("data"))]
    data: Facts = next(iter([*recorded, *configured]), {})
    return {
        "name": str(data.get("name", "unknown")),
        "image_size": data.get("image_size"),
        "channels": data.get("channels"),
        "classes": len(data["class_names"]) if "class_names" in data else None,
        "splits": {
            name: split["num_images"]
            for name, split in (data.get("splits") or {}).items()
            if isinstance(split, Mapping)
        },
    }


def _network(
    run: RunFolder, winner: Facts | None, table: Path | None, missing: list[str]
) -> Facts | None:
    """The winner block by block."""
    if winner is None:
        return None
    try:
        return describe(config_of(run).get("space", {}), winner["choices"], table)
    except UserError as error:
        missing.append(f"the winner's blocks: {error}")
        return None


def _latency(table: Path | None, missing: list[str]) -> Facts | None:
    """The latency table that the search used."""
    if table is None:
        return None
    try:
        return {"table": str(table), **table_points(table)}
    except UserError as error:
        missing.append(f"the latency table: {error}")
        return None


def _training(lineage: Lineage) -> list[Facts]:
    """Curves of every run that trained: its stage, and one curve a training."""
    found = []
    for run in lineage.runs:
        named = {"stage": run.stage, "run": str(run.path)}
        if run.stage == "retrain":
            drawn = [
                {
                    **curves(run.path / network / "log.jsonl", row["name"]),
                    "kind": row["kind"],
                    "seed": seed,
                }
                for row in (run.summary or {}).get("networks", [])
                for seed, network in enumerate(row["networks"])
            ]
        else:
            drawn = [{**curves(run.path / "log.jsonl", run.stage), "kind": run.stage, "seed": 0}]
        if drawn := [one for one in drawn if one["loss"]]:
            found.append({**named, "curves": drawn})
    return found

"""The facts of a search run: its candidates as a table, its best, its fronts, its generations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluate.html_report.facts.history import (
    best_so_far,
    figure,
    front,
    generations,
    ranked_by,
    varying_costs,
)
from evaluate.lineage import config_of
from supernet.candidate import Candidate, rank_key
from supernet.costs.limits import limit_names
from supernet.costs.table import COSTS
from supernet.files import as_written, read_json
from supernet.history_file import read_without_space
from training.run_files.folder import RunFolder
from training.run_files.log import read_events

COLUMNS = ("index", "generation", "origin", "top1", "images", "failure", "choices", "costs")
LOSS_COLUMNS = ("loss", "loss_error")
"""Of a search that ranks by cross-entropy, in nats."""


def search_facts(run: RunFolder, finalists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a search found, finished or not; `finalists` are rows of a report with their choices.

    `candidates` is a table: its columns, and a row for each candidate; of `choices` and `costs`
    the names stand once, beside it.

    Raises:
        UserError: a damaged history.
    """
    candidates = read_without_space(run.path / "history.jsonl")
    config = config_of(run).get("search", {})
    summary = run.summary or {}
    varying, same = varying_costs(candidates)
    limits = {name: config[name] for name in limit_names() if config.get(name) is not None}
    return {
        "run": str(run.path),
        "is_finished": run.finished,
        "searcher": config.get("searcher"),
        "budget": config.get("evaluations"),
        "num_candidates": len(candidates),
        "num_failed": sum(one.top1 is None for one in candidates),
        "num_stopped_early": sum(one.images is not None for one in candidates),
        "search_images": config.get("scoring", {}).get("search_images"),
        "limits": limits,
        "objectives": config.get("objectives"),
        "ranked_by": ranked_by(candidates),
        "noise": _noise(candidates, summary),
        "winner": _winner(candidates, summary),
        "finalists": _finalists(candidates, finalists),
        "positions": list(candidates[0].architecture) if candidates else [],
        "costs": varying,
        "same_costs": same,
        "candidates": _table(candidates),
        "best_so_far": best_so_far(candidates),
        "fronts": {cost: front(candidates, cost) for cost in varying},
        "generations": list(generations(candidates)),
        "surrogate": _surrogate(run, config),
        "hypervolume": summary.get("hypervolume"),
        "hypervolumes": _by_generation(run, "hypervolume"),
        "measured": _measured(run.path / "measured.json"),
    }


def _measured(path: Path) -> list[dict[str, Any]]:
    """The candidates that the search measured, where it did."""
    if not path.exists():
        return []
    with as_written(path):
        return [
            {
                "index": int(one["index"]),
                "top1": float(one["top1"]),
                "predicted_ms": float(one["predicted_ms"]),
                "measured_ms": float(one["measured_ms"]),
                "kept": bool(one["kept"]),
            }
            for one in read_json(path)
        ]


def _noise(candidates: Sequence[Candidate], summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """How many of the `scored` are within noise of the best, and the best's standard error.

    As the search's summary has it: None of one that is not finished, or too old to say.
    """
    if "within_noise" not in summary:
        return None
    scored = sum(one.top1 is not None for one in candidates)
    return {
        "error": summary.get("search_error"),
        "within_noise": summary["within_noise"],
        "scored": scored,
    }


def _table(candidates: Sequence[Candidate]) -> dict[str, Any]:
    names = list(candidates[0].costs) if candidates else []
    more = LOSS_COLUMNS if ranked_by(candidates) == "loss" else ()
    rows = [
        [
            one.index,
            one.generation,
            one.origin,
            one.top1,
            one.images,
            one.failure,
            [choice for _, choice in one.architecture.choices],
            [one.costs.get(name) for name in names],
            *(getattr(one, name) for name in more),
        ]
        for one in candidates
    ]
    return {"columns": [*COLUMNS, *more], "costs": names, "rows": rows}


def _winner(candidates: Sequence[Candidate], summary: Mapping[str, Any]) -> int | None:
    """Index of the one the search names; before its end, of the best so far. Ties: fewer OPs."""
    named = [one for one in candidates if str(one.architecture) == summary.get("best")]
    scored = [one for one in candidates if figure(one) is not None]
    ranked = sorted(scored, key=lambda one: rank_key(one)[:2])  # of equals the first
    return next((one.index for one in [*named, *ranked]), None)


def _finalists(
    candidates: Sequence[Candidate], finalists: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """Index of each finalist that the history holds, by its name."""
    return {
        str(row["name"]): one.index
        for row in finalists
        for one in candidates
        if dict(one.architecture.choices) == row["choices"]
    }


def _surrogate(run: RunFolder, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """How well the surrogate of searcher `surrogate` guessed each round before it was scored.

    `taus`: round and Kendall's tau, as the log has them. `worths`: of every choice, empty until
    somebody who knows the searcher fills it in.
    """
    if config.get("searcher") != "surrogate":
        return None
    return {"taus": _by_generation(run, "surrogate_tau"), "worths": []}


def _by_generation(run: RunFolder, name: str) -> list[list[float]]:
    """Generation and the number that the log has of it under `name`, where it has one."""
    by_generation = {
        event["generation"]: event[name]
        for event in read_events(run.path / "log.jsonl")
        if event.get("event") == "generation" and event.get(name) is not None
    }
    return [[generation, value] for generation, value in sorted(by_generation.items())]


Facts = dict[str, Any]


def winner_of(finalists: Sequence[Facts], search: Facts | None) -> Facts | None:
    """The search's best, as it was retrained; without that, the first finalist; else None.

    `finalists` are rows of a report, `search` the facts of one. Nobody is chosen by what the test
    split says of them.
    """
    indices = search["finalists"] if search is not None else {}
    best = search["winner"] if search is not None else None
    is_best = [one for one in finalists if best is not None and indices.get(one["name"]) == best]
    row = next(iter([*is_best, *finalists]), None)
    if row is not None:
        at = indices.get(row["name"])
        return {
            "name": row["name"],
            "is_retrained": True,
            "choices": row["choices"],
            "index": at,
            **({"search_top1": None} if search is None or at is None else _scores(search, at)),
            "test_top1": row["top1_mean"],
            "test_top1_std": row["top1_std"],
            "seeds": len(row["top1"]),
            "costs": {name: row[name] for name in COSTS if name in row},
        }
    if search is None or best is None:
        return None
    found = candidate(search, best)
    return {
        "name": "best of the search",
        "is_retrained": False,
        "choices": found["choices"],
        "index": best,
        **_scores(search, best),
        "costs": found["costs"],
    }


def _scores(search: Facts, index: int) -> Facts:
    """What the search knew of a candidate: top-1, the loss if it ranks by it, a standard error.

    The error is that of what it ranks by; of a top-1 the best's alone is known.
    """
    row, noise = candidate(search, index), search["noise"]
    found = {"search_top1": row["top1"]}
    if search["ranked_by"] == "loss":
        return {**found, "search_loss": row["loss"], "search_error": row["loss_error"]}
    if noise is not None and index == search["winner"]:
        found["search_error"] = noise["error"]
    return found


def candidate(search: Mapping[str, Any], index: int) -> Facts:
    """One row of the candidates' table by the names of its columns, choices and costs by theirs."""
    table = search["candidates"]
    row = dict(zip(table["columns"], table["rows"][index], strict=True))
    row["choices"] = dict(zip(search["positions"], row["choices"], strict=True))
    row["costs"] = dict(zip(table["costs"], row["costs"], strict=True))
    return row

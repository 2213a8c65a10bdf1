"""Which network the page is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from supernet.limits import LIMITED

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
            "search_top1": None if search is None or at is None else candidate(search, at)["top1"],
            "test_top1": row["top1_mean"],
            "test_top1_std": row["top1_std"],
            "seeds": len(row["top1"]),
            "costs": {name: row[name] for name in LIMITED if name in row},
        }
    if search is None or best is None:
        return None
    found = candidate(search, best)
    return {
        "name": "best of the search",
        "is_retrained": False,
        "choices": found["choices"],
        "index": best,
        "search_top1": found["top1"],
        "costs": found["costs"],
    }


def candidate(search: Mapping[str, Any], index: int) -> Facts:
    """One row of the candidates' table by the names of its columns, choices and costs by theirs."""
    table = search["candidates"]
    row = dict(zip(table["columns"], table["rows"][index], strict=True))
    row["choices"] = dict(zip(search["positions"], row["choices"], strict=True))
    row["costs"] = dict(zip(table["costs"], row["costs"], strict=True))
    return row

"""The finals in words: who entered, who left when, who won."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluate.finals.config import STAGE
from evaluate.over_images import NORMAL95
from training.run_files.folder import open_finished

KINDS = {"found": "found", "design": "hand-made", "given": "named"}


def read_summary(run: Path) -> dict[str, Any]:
    """The summary of the finals in `run`.

    Raises:
        UserError: no finals there, or unfinished ones.
    """
    return open_finished(run, STAGE).summary or {}


def as_markdown(summary: Mapping[str, Any]) -> str:
    """The table of a finals' summary, the last rung first, and the outcome in a sentence."""
    heads, lines = table_of(summary)
    written = ["# Finals", "", who_won(summary), "", _row(heads), "|---" * len(heads) + "|"]
    return "\n".join([*written, *map(_row, lines), "", how(summary)]) + "\n"


def table_of(summary: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and lines: a network each, those of the last rung first, best first."""
    rungs = summary["rungs"]
    last: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for number, rung in enumerate(rungs, start=1):
        last |= {one["name"]: (number, one) for one in rung["entrants"]}
    lines = []
    for number, one in sorted(last.values(), key=lambda pair: (-pair[0], pair[1]["loss"])):
        losses = [
            next((f"{e['loss']:.3f}" for e in rung["entrants"] if e["name"] == one["name"]), "")
            for rung in rungs
        ]
        left = "" if number == len(rungs) else f"after {_in_words(rungs[number - 1])}"
        lines.append([one["name"], KINDS[one["kind"]], *losses, f"{one['top1']:.2f}", left])
    return ["network", "kind", *map(_in_words, rungs), "top-1 %", "left"], lines


def how(summary: Mapping[str, Any]) -> str:
    """What the figures of the table are, in a sentence."""
    fresh = "which the search had not looked at" if summary["is_fresh"] else "of the search itself"
    return (
        f"Cross-entropy in nats after so many epochs of training on from the supernet's weights, "
        f"on {summary['judging_images']:,} images of the search split {fresh}; top-1 of the last "
        f"rung of each."
    )


def who_won(summary: Mapping[str, Any]) -> str:
    """The outcome in a sentence, with the 95 % interval over images of the lead."""
    kind = KINDS[summary["kind"]]
    won = f"{summary['winner']} ({kind}) won"
    if "difference" not in summary:
        return f"{won}; nobody else was left to compare it with."
    gap = summary["difference"]
    by = f"{gap['loss']:.4f} ± {NORMAL95 * gap['error']:.4f} nats before {summary['rival']}"
    if gap["is_tie"]:
        return f"{won}, {by}: no evidence of a difference on these images."
    return f"{won}, {by}."


def _in_words(rung: Mapping[str, Any]) -> str:
    return f"{rung['epochs']} epoch{'s' * (rung['epochs'] != 1)}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

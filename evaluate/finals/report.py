"""The finals in words: who entered, who left when, who won."""

from __future__ import annotations

from collections.abc import Mapping
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
    rungs = summary["rungs"]
    lines = ["# Finals", "", who_won(summary), ""]
    last: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for number, rung in enumerate(rungs, start=1):
        last |= {one["name"]: (number, one) for one in rung["entrants"]}
    epochs = " | ".join(_in_words(rung) for rung in rungs)
    lines += [f"| network | kind | {epochs} | top-1 % | left |", "|---" * (len(rungs) + 4) + "|"]
    order = sorted(last.values(), key=lambda pair: (-pair[0], pair[1]["loss"]))
    for number, one in order:
        losses = [
            next((f"{e['loss']:.3f}" for e in rung["entrants"] if e["name"] == one["name"]), "")
            for rung in rungs
        ]
        left = "" if number == len(rungs) else f"after {_in_words(rungs[number - 1])}"
        kind = KINDS[one["kind"]]
        cells = " | ".join(losses)
        lines.append(f"| {one['name']} | {kind} | {cells} | {one['top1']:.2f} | {left} |")
    fresh = "which the search had not looked at" if summary["is_fresh"] else "of the search itself"
    lines += [
        "",
        f"Cross-entropy in nats after so many epochs of training on from the supernet's weights, "
        f"on {summary['judging_images']:,} images of the search split {fresh}; top-1 of the last "
        f"rung of each.",
    ]
    return "\n".join(lines) + "\n"


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

"""The table of a retraining: finalists against baselines, with spread and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from evaluate.retrain import STAGE
from evaluate.statistics import mean_and_interval, spread
from supernet.costs import COST_NAMES
from supernet.files import write_json, write_text
from training.run_folder import open_finished

Row = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """`rows`: a network each; `differences`: finalist less baseline, in points of test top-1."""

    data: str
    epochs: int
    limits: dict[str, float]
    rows: list[Row]
    differences: list[Row]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-able data."""
        return {
            "data": self.data,
            "epochs": self.epochs,
            "limits": self.limits,
            "networks": self.rows,
            "differences": self.differences,
        }

    @property
    def markdown(self) -> str:
        """The report as Markdown."""
        limits = ", ".join(f"{name} {value:,.10g}" for name, value in self.limits.items())
        lines = [
            f"Test split of {self.data}, {self.epochs} epochs of training from scratch; "
            f"limits: {limits or 'none'}.",
            "",
            "| network | test top-1 % | seeds | OPs | FLOPs | BOPs | parameters | model bits |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row['name']} | {_with_spread(row['top1_mean'], row['top1_std'])} "
            f"| {len(row['top1'])} | "
            + " | ".join(
                f"{row[name]:,.10g}" for name in ("ops", "flops", "bops", "parameters", "bits")
            )
            + " |"
            for row in self.rows
        ]
        lines += [
            "",
            *(
                f"- {one['finalist']} minus {one['baseline']}: {one['mean']:+.2f} points"
                + ("" if one["half_width"] is None else f" ± {one['half_width']:.2f}")
                for one in self.differences
            ),
            "",
            "± after a network: standard deviation over seeds. ± after a difference: 95 % interval "
            "of the paired difference over seeds.",
        ]
        return "\n".join(lines) + "\n"


def report(run: Path) -> Report:
    """Make the report of a finished retraining; writes report.md and report.json into its folder.

    Raises:
        UserError: not a finished retraining.
    """
    folder = open_finished(run, STAGE)
    summary = folder.summary or {}
    rows = [_row(network) for network in summary["networks"]]
    made = Report(
        data=folder.config["data"]["name"],
        epochs=summary["epochs"],
        limits=summary["limits"],
        rows=rows,
        differences=_differences(rows),
    )
    write_json(folder.path / "report.json", made.as_dict())
    write_text(folder.path / "report.md", made.markdown)
    return made


def _row(network: Row) -> Row:
    top1 = network["test_top1"]
    return {
        "name": network["name"],
        "kind": network["kind"],
        "choices": network["choices"],
        "top1": top1,
        "top1_mean": fmean(top1),
        "top1_std": spread(top1),
        "top5_mean": fmean(network["test_top5"]),
        **{name: network["costs"][name] for name in COST_NAMES},
        "networks": network["networks"],
    }


def _differences(rows: Sequence[Row]) -> list[Row]:
    """Each finalist less the best uniform network, and less the mean of the random ones."""
    uniform = [row for row in rows if row["kind"] == "uniform"]
    drawn = [row for row in rows if row["kind"] == "random"]
    baselines: dict[str, list[float]] = {}
    if uniform:
        best = max(uniform, key=lambda row: row["top1_mean"])
        baselines[f"{best['name']} (the best uniform network)"] = best["top1"]
    if drawn:
        baselines[f"the mean of {len(drawn)} random networks"] = [
            fmean(of_seed) for of_seed in zip(*(row["top1"] for row in drawn), strict=True)
        ]
    differences = []
    for row in rows:
        if row["kind"] != "finalist":
            continue
        for name, values in baselines.items():
            paired = [a - b for a, b in zip(row["top1"], values, strict=True)]
            mean, half_width = mean_and_interval(paired)
            differences.append(
                {
                    "finalist": row["name"],
                    "baseline": name,
                    "mean": mean,
                    "half_width": half_width,
                    "seeds": len(paired),
                }
            )
    return differences


def _with_spread(mean: float, std: float | None) -> str:
    return f"{mean:.2f}" if std is None else f"{mean:.2f} ± {std:.2f}"

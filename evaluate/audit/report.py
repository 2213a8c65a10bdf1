"""The result of an audit: its file audit.json, and the same as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluate.audit.config import AuditStage
from evaluate.audit.ranking import agreement, draw_resamples, seed_noise, tau_difference
from supernet.architecture import Architecture
from supernet.costs import cost
from supernet.files import as_written, check_header, read_json, write_json, write_text
from supernet.space import SearchSpace
from training.data import TrainingData
from training.seeds import derive_seed

FILE = "audit.json"
FORMAT = "evobit/audit"
VERSION = 1

METHOD = (
    "[ ]: 95 % percentile bootstrap of {bootstrap:,} samples over networks and, all networks at "
    "once, over seeds. Regret: top-1 of the best network less that of the best among the k ranked "
    "highest. One supernet a rule: what its own seed changes is not in the intervals."
)


@dataclass(frozen=True)
class Rule:
    """A sampling rule, the run of its supernet, and the scores that it gave in every way."""

    name: str
    sampling: Mapping[str, Any]
    supernet: str
    scores: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class AuditReport:
    """An audit's figures as the JSON-able data of audit.json (docs/formats.md)."""

    figures: dict[str, Any]

    @classmethod
    def read(cls, run: Path) -> AuditReport:
        """The report in a finished run folder.

        Raises:
            UserError: missing, damaged or of another version.
        """
        document = read_json(run / FILE, what="audit")
        found = cls(check_header(document, run / FILE, format=FORMAT, version=VERSION))
        with as_written(run / FILE):
            _ = found.markdown  # it uses every figure that is shown
        return found

    def write(self, run: Path) -> None:
        """Write audit.json and report.md."""
        write_json(run / FILE, self.figures)
        write_text(run / "report.md", self.markdown)

    @property
    def headline(self) -> dict[str, Any]:
        """The first row's tau and the noise, for the run's summary."""
        first, noise = self.figures["rows"][0], self.figures["noise"]
        return {
            "networks": len(self.figures["networks"]),
            "kendall_tau": first["kendall_tau"]["value"],
            "pooled_std": noise and noise["pooled_std"],
        }

    @property
    def markdown(self) -> str:
        """The report as Markdown: a row for each way of scoring, below it the noise of seeds."""
        figures, rows = self.figures, self.figures["rows"]
        ks = list(rows[0]["regret"])
        columns = ["ranked by", "BatchNorm", "images", "Kendall tau", "Spearman"]
        columns += [f"top-{k} regret" for k in ks] + ["tau minus first row", "mean top-1 %"]
        lines = [
            f"Search split of {figures['data']} ({figures['num_search_images']:,} images); "
            f"{len(figures['networks'])} networks trained alone, {figures['epochs']} epochs, "
            f"{figures['seeds']} seed(s); regret in points of top-1.",
            "",
            f"| {' | '.join(columns)} |",
            "|---" * len(columns) + "|",
        ]
        for row in rows:
            images = row["calibration_images"]
            cells = [
                row["ranked_by"],
                row["batch_norm"] or "",
                "" if images is None else f"{images:,}",
                _estimate(row["kendall_tau"]),
                _estimate(row["spearman"]),
                *(_estimate(row["regret"][k]) for k in ks),
                _estimate(row["tau_minus_first"], sign="+"),
                "" if row["mean_top1"] is None else f"{row['mean_top1']:.2f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join([*lines, "", *self._noise(), "", self._method()]) + "\n"

    def _noise(self) -> list[str]:
        top1 = [sum(one["top1"]) / len(one["top1"]) for one in self.figures["networks"]]
        said = [f"- networks trained alone: {min(top1):.2f} to {max(top1):.2f} % top-1"]
        noise = self.figures["noise"]
        if noise is None:
            return [*said, "- one seed: how much of the ranking is chance is not known"]
        return [
            *said,
            f"- standard deviation over seeds: {noise['pooled_std']:.2f} points",
            f"- tau of two seeds: {_estimate(noise['between_seeds'])}",
            f"- tau of one seed and the mean of the others: "
            f"{_estimate(noise['seed_against_rest'])}; a supernet that reaches it ranks about "
            f"as well as training every network once",
        ]

    def _method(self) -> str:
        return METHOD.format(bootstrap=self.figures["bootstrap"])


def make_report(
    stage: AuditStage,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    data: TrainingData,
    rules: Sequence[Rule],
    top1: Sequence[Sequence[float]],
) -> AuditReport:
    """Compare the rules' scores with `top1`, percent by architecture and seed.

    The last row ranks by OPs alone: what a supernet has to beat.
    """
    config = stage.audit
    truth = np.array(top1)
    rng = np.random.default_rng(derive_seed(stage.seed, "bootstrap"))
    # The same samples for every row, so that rows can be compared in pairs.
    num_networks, num_seeds = truth.shape
    resamples = draw_resamples(num_networks, num_seeds, config.bootstrap, rng)
    ops = [cost(space.decode(architecture)).ops for architecture in architectures]
    ways: list[dict[str, Any]] = [
        {
            "ranked_by": rule.name,
            "sampling": dict(rule.sampling),
            "supernet": rule.supernet,
            "batch_norm": way["batch_norm"],
            "calibration_images": way["calibration_images"],
            "scores": list(way["top1"]),
            "mean_top1": float(np.mean(way["top1"])),
        }
        for rule in rules
        for way in rule.scores
    ]
    nothing = dict.fromkeys(("sampling", "supernet", "batch_norm", "calibration_images"))
    ways.append({"ranked_by": "OPs alone", **nothing, "scores": ops, "mean_top1": None})
    first = np.array(ways[0]["scores"])
    rows: list[dict[str, Any]] = []
    for way in ways:
        scores = np.array(way["scores"], dtype=float)
        difference = tau_difference(truth, scores, first, resamples) if rows else None
        rows.append(
            {
                **way,
                **agreement(truth, scores, config.top_k, resamples).as_dict(),
                "tau_minus_first": difference and asdict(difference),
            }
        )
    noise = seed_noise(truth, resamples)
    networks = [
        {
            "choices": dict(architecture.choices),
            "ops": ops_of_one,
            "top1": list(of_one),
            "networks": [f"networks/{architecture.id}-seed{k}" for k in range(config.seeds)],
        }
        for architecture, ops_of_one, of_one in zip(architectures, ops, top1, strict=True)
    ]
    return AuditReport(
        {
            "format": FORMAT,
            "version": VERSION,
            "space": space.describe(),
            "data": stage.data.name,
            "split": "search",
            "num_search_images": len(data.search),
            "epochs": config.total_epochs,
            "seeds": config.seeds,
            "bootstrap": config.bootstrap,
            "rows": rows,
            "noise": noise and asdict(noise),
            "networks": networks,
        }
    )


def _estimate(one: Mapping[str, float] | None, sign: str = "") -> str:
    """`0.61 [0.40, 0.77]`."""
    if one is None:
        return ""
    value, low, high = (format(one[name], f"{sign}.2f") for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"

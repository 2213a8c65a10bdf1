"""The result of an audit: its file audit.json, and the same as tables and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluate.audit.figures import FORMAT, VERSION
from evaluate.audit.noise import CAN_TELL
from evaluate.audit.scores import SCORES
from supernet.files import as_written, check_header, read_json, write_json, write_text

FILE = "audit.json"
EQUAL_WORK = 1.1
"""Up to this ratio works are said to be equal: epochs are whole numbers; chosen."""

METHOD = (
    "[ ]: 95 % percentile bootstrap of {bootstrap:,} samples over networks and, all networks at "
    "once, over seeds{of_supernets}. Regret: top-1 of the best network less that of the best among "
    "the k ranked highest{of_bands}. Beyond OPs: Spearman with the ranks of OPs held. Work: steps "
    "x paths a step of a supernet's training. {supernets}{adapted}"
)
ADAPTED = (
    " Own training: steps x images, first rate, of each network from the supernet's weights before "
    "it is scored; it comes on top of the work."
)
ONE_SUPERNET = "One supernet a rule: what its own seed changes is not in the intervals."
SEVERAL = "{number} supernets a rule, equal but for their seeds: a row is the mean of theirs."

# What audits of before had not; theirs is one band, one supernet a rule, top-1.
OLDER_ROW: dict[str, Any] = {
    "score": "top1",
    "adapt": None,
    "work": None,
    "beyond_ops": None,
    "by_supernet": [],
    "tau_by_band": [],
}
OLDER_NOISE: dict[str, Any] = {"between_halves": None, "halves_by_band": []}
OLDER: dict[str, Any] = {"bands": [], "supernet_seeds": 1}


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
        """The report as Markdown.

        A row for each way of scoring, with bands a second table of tau in each; below them whether
        the truth can tell networks apart, the noise of seeds, and the method.
        """
        figures = _with_newer_figures(self.figures)
        parts = [_head(figures), _ranking(figures)]
        if len(figures["bands"]) > 1:
            parts.append(_by_band(figures))
        parts += [_remarks(figures), _method(figures)]
        return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _with_newer_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """`figures` with what was added since they were written."""
    noise = figures["noise"]
    return {
        **OLDER,
        **figures,
        "rows": [{**OLDER_ROW, **row} for row in figures["rows"]],
        "noise": noise and {**OLDER_NOISE, **noise},
    }


def _head(figures: Mapping[str, Any]) -> list[str]:
    number = len(figures["networks"])
    said = (
        f"Search split of {figures['data']} ({figures['num_search_images']:,} images); "
        f"{number} networks trained alone, {figures['epochs']} epochs, "
        f"{figures['seeds']} seed(s); regret in points of top-1."
    )
    bands = figures["bands"]
    if not bands:
        return [said]
    ranges = [f"{one['min_ops']:,.0f} to {one['max_ops']:,.0f}" for one in bands]
    return [said, f"Ranked within {len(bands)} band(s) of equal OPs: {'; '.join(ranges)}."]


def _ranking(figures: Mapping[str, Any]) -> list[str]:
    """A row for each way of scoring."""
    rows, adapted = figures["rows"], _has_adapted(figures)
    ks, has_several = list(rows[0]["regret"]), figures["supernet_seeds"] > 1
    columns = [*_naming(adapted), "work", "Kendall tau", *(["of each supernet"] * has_several)]
    columns += ["Spearman", "beyond OPs"]
    columns += [f"top-{k} regret" for k in ks] + ["tau minus first row", "mean top-1 %"]
    cells = [
        [
            *_named(row, adapted),
            "" if row["work"] is None else f"{row['work']:,}",
            _estimate(row["kendall_tau"]),
            *([_taus(row["by_supernet"])] * has_several),
            _estimate(row["spearman"]),
            _estimate(row["beyond_ops"]),
            *(_estimate(row["regret"][k]) for k in ks),
            _estimate(row["tau_minus_first"], sign="+"),
            "" if row["mean_top1"] is None else f"{row['mean_top1']:.2f}",
        ]
        for row in rows
    ]
    return _table(columns, cells)


def _by_band(figures: Mapping[str, Any]) -> list[str]:
    """Tau in each band: of two halves of the trainings, and of each way of scoring."""
    bands, networks, noise = figures["bands"], figures["networks"], figures["noise"]
    sizes = [sum(one["band"] == number for one in networks) for number in range(len(bands))]
    columns = [
        f"{band['min_ops']:,.0f} to {band['max_ops']:,.0f} OPs ({size})"
        for band, size in zip(bands, sizes, strict=True)
    ]
    adapted = _has_adapted(figures)
    cells = [
        [*_named(row, adapted), *map(_estimate, row["tau_by_band"])] for row in figures["rows"]
    ]
    if noise is not None:
        empty = [""] * (len(_naming(adapted)) - 1)
        cells.append(["halves of the trainings", *empty, *map(_estimate, noise["halves_by_band"])])
    return ["Kendall tau by band (networks):", "", *_table([*_naming(adapted), *columns], cells)]


def _remarks(figures: Mapping[str, Any]) -> list[str]:
    """What the tables cannot show: how far the truth and the comparison can be trusted."""
    top1 = [sum(one["top1"]) / len(one["top1"]) for one in figures["networks"]]
    said = [f"- networks trained alone: {min(top1):.2f} to {max(top1):.2f} % top-1"]
    works = {row["work"] for row in figures["rows"]} - {None}
    if works and max(works) > EQUAL_WORK * min(works):
        said.append(
            f"- the supernets had unequal work, {min(works):,} to {max(works):,}: a rule may rank "
            f"better because it had more; `audit.equal_work: true` scales their epochs, the closer "
            f"the more there are"
        )
    noise = figures["noise"]
    if noise is None:
        return [
            *said,
            "- one seed: how much of the ranking is chance is not known, nor whether the truth can "
            "tell these networks apart",
        ]
    return [
        *said,
        *_verdict(noise["between_halves"]),
        f"- standard deviation over seeds: {noise['pooled_std']:.2f} points",
        f"- tau of two seeds: {_estimate(noise['between_seeds'])}",
        f"- tau of one seed and the mean of the others: "
        f"{_estimate(noise['seed_against_rest'])}; a supernet that reaches it ranks about "
        f"as well as training every network once",
    ]


def _verdict(halves: Mapping[str, float] | None) -> list[str]:
    """Whether the truth can tell networks apart."""
    if halves is None:
        return []
    said = f"- tau of two halves of the trainings: {_estimate(halves)}; "
    if halves["value"] < CAN_TELL:
        return [
            f"{said}below {CAN_TELL}, the truth cannot tell these networks apart, and no ranking "
            f"above can be judged by it: train longer, with more seeds, or take networks that "
            f"differ more"
        ]
    return [f"{said}at {CAN_TELL} or more, the truth can tell these networks apart"]


def _method(figures: Mapping[str, Any]) -> list[str]:
    number, bands = figures["supernet_seeds"], figures["bands"]
    is_one = number == 1
    return [
        METHOD.format(
            bootstrap=figures["bootstrap"],
            of_supernets="" if is_one else ", and over supernets",
            of_bands=", mean over bands" if len(bands) > 1 else "",
            supernets=ONE_SUPERNET if is_one else SEVERAL.format(number=number),
            adapted=ADAPTED if _has_adapted(figures) else "",
        )
    ]


def _has_adapted(figures: Mapping[str, Any]) -> bool:
    return any(row["adapt"] for row in figures["rows"])


def _naming(adapted: bool) -> list[str]:
    """The columns that say which way of scoring a row is; one more where any are `adapted`."""
    return ["ranked by", "score", "BatchNorm", "images", *(["own training"] * adapted)]


def _named(row: Mapping[str, Any], adapted: bool) -> list[str]:
    """The cells below `_naming`."""
    images, score, adapt = row["calibration_images"], SCORES.get(row["score"]), row["adapt"]
    own = f"{adapt['steps']} x {adapt['batch_size']}, {adapt['learning_rate']:g}" if adapt else ""
    return [
        row["ranked_by"],
        score.title if score and row["batch_norm"] else "",
        row["batch_norm"] or "",
        "" if images is None else f"{images:,}",
        *([own] * adapted),
    ]


def _table(columns: list[str], cells: list[list[str]]) -> list[str]:
    rows = [f"| {' | '.join(of_row)} |" for of_row in (columns, *cells)]
    return [rows[0], "|---" * len(columns) + "|", *rows[1:]]


def _taus(by_supernet: list[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one['kendall_tau']:.2f}" for one in by_supernet)


def _estimate(one: Mapping[str, float] | None, sign: str = "") -> str:
    """`0.61 [0.40, 0.77]`."""
    if one is None:
        return ""
    value, low, high = (format(one[name], f"{sign}.2f") for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"

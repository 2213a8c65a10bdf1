"""The latency table: milliseconds a layer, with what they were measured on; its file.

One CSV file. The first line is `# ` and a JSON header; then a row a layer.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from supernet.files import UserError, check_header, write_text
from supernet.files.expected import first_mistake
from supernet.spec import BlockSpec

FORMAT = "evobit/latency-table"
VERSION = 1
WHAT = "a latency table (which 'evobit latency-table build' writes)"
COLUMNS = ("layer", "latency_ms", "quartile_low_ms", "quartile_high_ms", "samples", "runs_on")
NEEDED = ("layer", "latency_ms")


@dataclass(frozen=True)
class Errors:
    """How well whole networks are predicted that the fit has not seen."""

    networks: int
    mean_error_percent: float
    worst_error_percent: float
    rank_correlation: float
    """Spearman's."""


@dataclass(frozen=True)
class Header:
    """What a table was measured on and how well it predicts.

    `peak_gmacs_per_s`: of the XOR + popcount + add loop beside the measurements; later ones are
    normalised by it. The correction: latency = intercept_ms + factor * sum of the layers.
    """

    space: dict[str, Any]
    device: str
    isa: str | None
    threads: int
    batch: int
    kernel_version: int
    date: str
    source: Literal["measured", "imported"]
    peak_gmacs_per_s: float | None = None
    layers_in_torch: int = 0
    intercept_ms: float = 0.0
    factor: float = 1.0
    held_out: Errors | None = None
    by_macs: Errors | None = None
    by_ops: Errors | None = None
    repeat_correlation: float | None = None
    """Rank correlation of two measurements of the held-out networks."""
    points: list[list[float]] = field(default_factory=list)
    """Predicted and measured milliseconds of each held-out network."""
    references: list[dict[str, Any]] = field(default_factory=list)
    """`choices` and `latency_ms` of a few whole networks: what is measured later is timed in turns
    with them, so that another program on the machine slows both."""


@dataclass(frozen=True)
class LatencyTable:
    """A header and a row a layer; `frame` has the columns of `COLUMNS`, indexed by layer."""

    header: Header
    frame: pd.DataFrame

    def milliseconds(self) -> dict[str, float]:
        """Median milliseconds by layer key."""
        return {str(key): float(value) for key, value in self.frame["latency_ms"].items()}

    def with_header(self, **changes: Any) -> LatencyTable:
        """The same rows under a changed header."""
        return replace(self, header=replace(self.header, **changes))


def save_table(path: str | Path, table: LatencyTable) -> None:
    """Write a table, atomically."""
    header = {"format": FORMAT, "version": VERSION, **asdict(table.header)}
    rows = table.frame.reset_index()[list(COLUMNS)].to_csv(index=False, float_format="%.6g")
    write_text(path, f"# {json.dumps(header)}\n{rows}")


def load_table(path: str | Path) -> LatencyTable:
    """Read a table.

    Raises:
        UserError: missing, damaged, another version, a layer twice, a time that is no number
            above 0; the message names file and layer.
    """
    first, _, rows = read_text(path).partition("\n")
    try:
        document = json.loads(first.removeprefix("# ")) if first.startswith("# ") else None
    except (ValueError, RecursionError) as error:
        raise UserError(f"latency table {path}: its header is not JSON") from error
    document = dict(check_header(document, path, format=FORMAT, version=VERSION, what=WHAT))
    for name in ("format", "version"):
        del document[name]
    try:
        for name in ("held_out", "by_macs", "by_ops"):
            if document.get(name) is not None:
                document[name] = Errors(**document[name])
        header = Header(**document)
        TypeAdapter(Header).validate_python(asdict(header))
    except (TypeError, ValueError, RecursionError) as error:
        reason = first_mistake(error) if isinstance(error, ValidationError) else str(error)
        raise UserError(f"latency table {path}: incomplete header ({reason})") from error
    if not isinstance(header.space.get("name"), str):
        raise UserError(f"latency table {path}: incomplete header (space has no name)")
    return LatencyTable(header, frame_of(rows, path))


def frame_of(text: str, path: str | Path, ignored: Collection[str] = ()) -> pd.DataFrame:
    """Rows of CSV text as a frame indexed by layer; only layer and latency_ms must be there.

    Columns of a name in `ignored` are dropped.

    Raises:
        UserError: unreadable, unknown columns, a layer twice, or a time that is no number above 0.
    """
    if text.startswith("# {"):
        raise UserError(f"{path}: is a latency table already, expected a CSV of layer, latency_ms")
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            dtype={"layer": str},
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN", "NA"] for name in COLUMNS[1:]},
        )
    except (ValueError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"latency table {path}: is no readable CSV ({reason})") from error
    if missing := [name for name in NEEDED if name not in frame.columns]:
        raise UserError(
            f"latency table {path}: no column '{missing[0]}'; found "
            f"{', '.join(map(str, frame.columns))} (times are in milliseconds)"
        )
    frame = frame.drop(columns=[name for name in frame.columns if name in ignored])
    if unknown := [name for name in frame.columns if name not in COLUMNS]:
        raise UserError(
            f"latency table {path}: column '{unknown[0]}' is not known; columns are "
            f"{', '.join(COLUMNS)}, and all times are in milliseconds"
        )
    for name in ("quartile_low_ms", "quartile_high_ms"):
        if name not in frame.columns:
            frame[name] = frame["latency_ms"]
    if "samples" not in frame.columns:
        frame["samples"] = 0
    if "runs_on" not in frame.columns:
        frame["runs_on"] = "device"
    frame = frame.set_index("layer")[list(COLUMNS[1:])]
    if "" in frame.index:
        raise UserError(f"latency table {path}: row {list(frame.index).index('') + 1} has no layer")
    if (twice := frame.index[frame.index.duplicated()]).size:
        raise UserError(f"latency table {path}: layer '{twice[0]}' stands twice")
    for name in ("latency_ms", "quartile_low_ms", "quartile_high_ms"):
        numbers = pd.to_numeric(frame[name], errors="coerce")
        wrong = frame.index[~(numbers > 0) | ~numbers.map(math.isfinite)]
        if wrong.size:
            found = frame.loc[wrong[0], name]
            raise UserError(
                f"latency table {path}: layer '{wrong[0]}': {name} is '{found}', "
                "expected milliseconds above 0"
            )
        frame[name] = numbers.astype(float)
    return frame


def check_layers(table: LatencyTable, keys: Mapping[BlockSpec, str], where: str | Path) -> None:
    """Demand an entry for every layer.

    Raises:
        UserError: names the first that is missing and how many more there are.
    """
    missing = sorted(set(keys.values()) - set(map(str, table.frame.index)))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"latency table {where}: no entry for the layer '{missing[0]}'{more}; "
            "was it made for another space?"
        )


def read_text(path: str | Path) -> str:
    """The text of a CSV file.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UserError(f"latency table {path}: cannot be read ({reason})") from error

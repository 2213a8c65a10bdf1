"""Latency as a cost of a search: predicted from a table, and measured once finalists stand."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from latency_tables.layer_keys import distinct_layers
from latency_tables.machine import check_device, check_use
from latency_tables.predictor import Predictor, check_predictor
from latency_tables.table import LatencyTable, check_layers, load_table
from supernet.candidate import Candidate
from supernet.costs.limits import Limit, within
from supernet.costs.table import LATENCY
from supernet.files import as_written
from supernet.space import SearchSpace
from supernet.spec import NetworkSpec
from training.bounds import MAX_REPEATS, MAX_THREADS
from training.section import Section

MAX_MEASURED = 10
ROUNDS = 9


class LatencyConfig(Section):
    """Which table predicts latency, and for which use of the network.

    `latency_device`: this, the machine of the search, whose finalists are then measured; or other.
    `latency_threads`, `latency_batch`: how the network will be run; the table must have been
    measured so. `trust_latency_table`: use one whose errors on whole networks are large or unknown.
    """

    latency_table: Path | None = None
    latency_device: Literal["this", "other"] = "this"
    latency_threads: int = Field(default=1, ge=1, le=MAX_THREADS)
    latency_batch: int = Field(default=1, ge=1, le=MAX_REPEATS)
    trust_latency_table: bool = False


@dataclass(frozen=True)
class Latency:
    """A checked table and its predictor."""

    table: LatencyTable
    predict: Predictor
    is_this_device: bool
    references: tuple[tuple[NetworkSpec, float], ...] = ()
    """Whole networks and their milliseconds, from the table."""

    def measure(self, spec: NetworkSpec) -> float:
        """Milliseconds of the network, with random weights, on this machine.

        It runs as the table's networks did: packed, but for layers without packed operations. It
        is timed in turns with the table's reference networks, whose milliseconds are known: the
        median of the ratios, so that other work on the machine cancels out. A table without
        references is normalised by the peak loop instead.
        """
        from deploy import kernels
        from latency_tables.timing import pixels, random_network, time_network

        header = self.table.header
        kernels.set_threads(header.threads)
        images = pixels(spec, header.batch)
        network = random_network(spec)
        if not header.references:
            peak = header.peak_gmacs_per_s
            samples = [time_network(network, images) for _ in range(ROUNDS)]
            return statistics.median(s.ms[0] * (s.peak / peak if peak else 1) for s in samples)
        references = [(random_network(known), ms) for known, ms in self.references]
        times = []
        for _ in range(ROUNDS):
            own = time_network(network, images).ms[0]
            slowed = [time_network(known, images).ms[0] / ms for known, ms in references]
            times.append(own / statistics.fmean(slowed))
        return statistics.median(times)


def open_latency(config: LatencyConfig, space: SearchSpace) -> Latency | None:
    """Load and check the table that `config` names; None without one.

    Raises:
        UserError: a damaged table, of another device or use, without a layer of the space, or one
            that predicts too poorly.
    """
    path = config.latency_table
    if path is None:
        return None
    table = load_table(path)
    with as_written(path):
        check_use(table.header, config.latency_threads, config.latency_batch, path)
        if config.latency_device == "this":
            check_device(table.header, path)
        check_layers(table, distinct_layers(space), path)
        if not config.trust_latency_table:
            check_predictor(table, path)
        references = tuple(
            (space.decode(space.architecture(one["choices"])), float(one["latency_ms"]))
            for one in table.header.references
        )
    return Latency(table, Predictor(table), config.latency_device == "this", references)


def measured_costs(latency: Latency | None) -> dict[str, Callable[[NetworkSpec], float]]:
    """What `CostMeter` adds to the analytic costs."""
    return {} if latency is None else {LATENCY: latency.predict}


def confirm(
    ranked: Sequence[Candidate],
    space: SearchSpace,
    latency: Latency,
    constraints: Sequence[Limit],
    *,
    all_of_them: bool = False,
) -> list[dict[str, Any]]:
    """Measure candidates, best first, until one keeps the limits on latency when measured.

    Returns a row for each that was measured; `kept` tells whether it keeps them. At most 10 are
    measured, or the whole front where `all_of_them` is asked for.
    """
    limits = [constraint for constraint in constraints if constraint.name == LATENCY]
    rows = []
    for candidate in ranked if all_of_them else ranked[:MAX_MEASURED]:
        measured = latency.measure(space.decode(candidate.architecture))
        kept = within(limits, {LATENCY: measured})
        rows.append(_row(candidate, measured, kept))
        if kept and not all_of_them:
            break
    return rows


def _row(candidate: Candidate, measured_ms: float, kept: bool) -> dict[str, Any]:
    """One measured candidate, JSON-able."""
    return {
        "index": candidate.index,
        "architecture": str(candidate.architecture),
        "top1": candidate.top1,
        "predicted_ms": candidate.costs[LATENCY],
        "measured_ms": round(measured_ms, 6),
        "kept": kept,
    }


def rejected(rows: Sequence[Mapping[str, Any]]) -> set[int]:
    """Indices of the candidates that broke a limit when they were measured."""
    return {one["index"] for one in rows if not one["kept"]}

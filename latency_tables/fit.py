"""The correction of a table's sums on whole networks, and how far off it is on others."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from latency_tables.predictor import Predictor, line_errors, rank_correlation
from supernet.costs import cost
from supernet.spec import NetworkSpec

MIN_NETWORKS = 2
"""To fit a line through, and to rank: so many on either side."""


def fit_and_test(
    sums: Predictor,
    specs: Sequence[NetworkSpec],
    rounds: Sequence[Sequence[float]],
    num_fitted: int,
) -> dict[str, Any]:
    """The correction fitted on the first `num_fitted` networks, and errors on the rest.

    `rounds` holds each network's milliseconds in each round. Returns fields of a table's header:
    of too few networks only the points, of the plain sums that are then not corrected.
    """
    measured = list(zip(specs, map(statistics.median, rounds), strict=True))
    fitted, held_out = measured[:num_fitted], measured[num_fitted:]
    if min(len(fitted), len(held_out)) < MIN_NETWORKS:
        return {"points": [[round(sums(spec), 6), round(ms, 6)] for spec, ms in measured]}
    (intercept, factor), predicted, found = line_errors(sums, fitted, held_out)
    true = [ms for _, ms in held_out]
    repeat = None
    if all(len(times) > 1 for times in rounds):
        # Two measurements of the same networks: the even rounds and the odd ones.
        halves = [
            [statistics.median(times[start::2]) for times in rounds[num_fitted:]]
            for start in (0, 1)
        ]
        repeat = rank_correlation(*halves)
    return {
        "intercept_ms": intercept,
        "factor": factor,
        "held_out": found,
        "by_macs": line_errors(_macs, fitted, held_out)[2],
        "by_ops": line_errors(_ops, fitted, held_out)[2],
        "repeat_correlation": repeat,
        "points": [[round(p, 6), round(m, 6)] for p, m in zip(predicted, true, strict=True)],
    }


def _macs(spec: NetworkSpec) -> float:
    """Multiply-adds, binary ones like real ones."""
    costs = cost(spec)
    return costs.flops + costs.bops


def _ops(spec: NetworkSpec) -> float:
    return cost(spec).ops

"""From a table to the latency of a whole network, and how far off it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from latency_tables.layer_keys import layer_key, takes_time
from latency_tables.table import Errors, LatencyTable
from supernet.files import UserError
from supernet.rank_correlation import spearman
from supernet.spec import BlockSpec, NetworkSpec

MAX_MEAN_ERROR_PERCENT = 10.0
MIN_RANK_CORRELATION = 0.9
"""A predictor beyond these is no constraint, unless the user insists."""


class Predictor:
    """Callable: milliseconds of a network, the sum of its layers after a linear correction."""

    def __init__(self, table: LatencyTable) -> None:
        self._by_key: Mapping[str, float] = table.milliseconds()
        self._by_block: dict[BlockSpec, float] = {}
        self.intercept_ms, self.factor = table.header.intercept_ms, table.header.factor

    def layer_ms(self, block: BlockSpec) -> float:
        """Milliseconds of one layer.

        Raises:
            UserError: it is not in the table.
        """
        if block not in self._by_block:
            key = layer_key(block)
            if key not in self._by_key:
                raise UserError(f"the latency table has no entry for the layer '{key}'")
            self._by_block[block] = self._by_key[key]
        return self._by_block[block]

    def __call__(self, spec: NetworkSpec) -> float:
        return self.intercept_ms + self.factor * sum(
            self.layer_ms(block) for block in spec.blocks if takes_time(block)
        )


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Intercept and factor of y = intercept + factor * x that minimise the relative errors.

    Weighted least squares with weights 1/y: the sum of ((fit - y) / y)^2.
    """
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    rows = np.stack([np.ones_like(xs), xs], axis=1) / ys[:, None]
    (intercept, factor), *_ = np.linalg.lstsq(rows, np.ones_like(ys), rcond=None)
    return float(intercept), float(factor)


def errors(predicted: Sequence[float], measured: Sequence[float]) -> Errors:
    """Mean and worst relative error, and Spearman's rank correlation."""
    found, true = np.asarray(predicted, float), np.asarray(measured, float)
    percent = 100 * np.abs(found - true) / true
    correlation = rank_correlation(found, true)
    return Errors(len(true), float(percent.mean()), float(percent.max()), correlation)


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's; nan where all of `x` or all of `y` are equal."""
    correlation = spearman(x, y)
    return math.nan if correlation is None else correlation


def line_errors(
    cost: Callable[[NetworkSpec], float],
    fitted: Sequence[tuple[NetworkSpec, float]],
    held_out: Sequence[tuple[NetworkSpec, float]],
) -> tuple[tuple[float, float], list[float], Errors]:
    """Fit a line through one cost of networks with known latency; its errors on others.

    Returns the line (intercept, factor), its predictions for `held_out`, and their errors.
    """
    line = fit_line([cost(spec) for spec, _ in fitted], [ms for _, ms in fitted])
    predicted = [line[0] + line[1] * cost(spec) for spec, _ in held_out]
    return line, predicted, errors(predicted, [ms for _, ms in held_out])


def check_predictor(table: LatencyTable, where: object) -> None:
    """Demand errors small enough for a limit.

    Raises:
        UserError: says why the predictor is not good enough, and how to insist.
    """
    insist = "set search.trust_latency_table: true to use it all the same"
    found = table.header.held_out
    if found is None:
        raise UserError(
            f"latency table {where}: nobody measured how well it predicts whole networks "
            f"(imported without --networks, or too few networks to tell); {insist}"
        )
    if found.mean_error_percent > MAX_MEAN_ERROR_PERCENT:
        raise UserError(
            f"latency table {where}: on networks it has not seen it is off by "
            f"{found.mean_error_percent:.1f} % on average (at most {MAX_MEAN_ERROR_PERCENT:g} %), "
            f"so a limit in milliseconds would mean little; {insist}"
        )
    if found.rank_correlation < MIN_RANK_CORRELATION:
        raise UserError(
            f"latency table {where}: it ranks networks it has not seen with a correlation of "
            f"{found.rank_correlation:.2f} (at least {MIN_RANK_CORRELATION:g}), so faster ones "
            f"would be mistaken for slower ones; {insist}"
        )

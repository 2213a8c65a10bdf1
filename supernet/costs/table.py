"""The costs of a network: the one table that all read who limit, minimise or show a cost.

A new cost is a row here, its counting rule in `count` and its check in `supernet/verify.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """`name` as files and configs have it (`max_<name>`); `unit` is what stands after a number.

    `title` stands over a column and at an axis, `short` (the title unless given) where room is
    scarce; `meaning` says what is counted. A measured cost is no attribute of `Costs`: something
    else predicts it.
    """

    name: str
    unit: str
    title: str
    meaning: str
    short: str = ""
    is_measured: bool = False


LATENCY = "latency_ms"
"""The measured cost, known where there is a latency table."""

COSTS = {
    cost.name: cost
    for cost in (
        Cost("ops", "operations", "OPs", "OPs = FLOPs + BOPs/64"),
        Cost("flops", "multiply-adds", "FLOPs", "real multiply-adds"),
        Cost("bops", "binary multiply-adds", "BOPs", "binary multiply-adds"),
        Cost(
            "bitops",
            "bit operations",
            "BitOPs",
            "multiply-adds x bits of the weight x bits of the activation",
        ),
        Cost("parameters", "parameters", "parameters", "trainable numbers"),
        Cost(
            "binary_parameters", "binary parameters", "binary parameters", "of them 1-bit weights"
        ),
        Cost(
            "bits",
            "bits",
            "model bits",
            "bits of the model: 1 a binary weight, k one of k bits, 32 any other",
        ),
        Cost(
            LATENCY,
            "milliseconds",
            "predicted milliseconds",
            "of one run, as a latency table predicts it",
            short="predicted ms",
            is_measured=True,
        ),
    )
}
"""By name, in the order in which they are shown."""

ANALYTIC = tuple(name for name, cost in COSTS.items() if not cost.is_measured)
"""The costs that are counted from a spec."""


def title_of(name: str) -> str:
    """The title of a cost; of one that the table has not, its name."""
    return COSTS[name].title if name in COSTS else name


def unit_of(name: str) -> str | None:
    """The unit of a cost; None of one that the table has not."""
    return COSTS[name].unit if name in COSTS else None

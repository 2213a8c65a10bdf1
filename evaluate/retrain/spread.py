"""Means and spreads of a few repeated trainings."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

# Student's t, two-sided 95 %, by degrees of freedom 1..30 (tables of the distribution).
T95 = (
    (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
    + (2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086)
    + (2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042)
)


FEWEST = 5
"""Values of which an interval is given: of two it would be 9 times as wide as they differ by, of
three 2.5 times, mostly for lack of knowledge."""


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and the half width of its 95 % interval (Student's t); None for fewer than 5 values."""
    if len(values) < FEWEST:
        return fmean(values), None
    t = T95[min(len(values) - 1, len(T95)) - 1]
    return fmean(values), t * stdev(values) / len(values) ** 0.5


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation of the sample; None for a single value."""
    return stdev(values) if len(values) > 1 else None

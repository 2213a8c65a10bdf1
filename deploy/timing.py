"""Times of several sides measured in turns, so that what disturbs one disturbs all."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping


def in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, seed: int = 0
) -> dict[str, list[float]]:
    """Seconds of each side in each round; the order of the sides is drawn anew every round."""
    rng = random.Random(seed)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name in rng.sample(list(sides), len(sides)):
            began = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Median and quartiles of slow/fast, formed within each round."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return {
        "median": round(statistics.median(ratios), 2),
        "quartile_low": round(low, 2),
        "quartile_high": round(high, 2),
        "n": len(ratios),
    }

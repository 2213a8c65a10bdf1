"""What a supernet's training reached: updates of each choice, and costs of the paths it trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.coverage.trained_paths import Counts
from search.limits.feasibility import PERCENTS, Feasibility, aligned, number

NUM_BINS = 10


@dataclass(frozen=True)
class CostCoverage:
    """One cost of the trained paths beside uniform draws, in its unit.

    `trained` and `drawn` count paths and draws in equal bins from `low` to `high`, the space's
    cheapest and dearest; a cost that all architectures share has one bin.
    """

    low: float
    high: float
    minimum: float
    maximum: float
    quantiles: Mapping[int, float]
    trained: tuple[int, ...]
    drawn: tuple[int, ...]

    @classmethod
    def of(
        cls, low: float, high: float, trained: Sequence[float], drawn: Sequence[float]
    ) -> CostCoverage:
        """From the costs of all trained paths and all draws; the ends move out to hold them.

        Only ends that descent found, of a cost that is no sum over positions, can need to.
        """
        values, draws = sorted(trained), sorted(drawn)
        low, high = min(low, values[0], draws[0]), max(high, values[-1], draws[-1])
        last = len(values) - 1
        return cls(
            low=low,
            high=high,
            minimum=values[0],
            maximum=values[-1],
            quantiles={p: values[min(p * len(values) // 100, last)] for p in PERCENTS},
            trained=histogram(values, low, high),
            drawn=histogram(draws, low, high),
        )

    @property
    def share(self) -> float:
        """The share (0-1) of the range low..high that lies between two trained paths."""
        whole = self.high - self.low
        return (self.maximum - self.minimum) / whole if whole > 0 else 1.0

    @property
    def num_empty(self) -> int:
        """Bins without a trained path."""
        return self.trained.count(0)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        width = (self.high - self.low) / len(self.trained)
        return {
            "minimum": self.minimum,
            "quantiles": {str(percent): value for percent, value in self.quantiles.items()},
            "maximum": self.maximum,
            "share_of_range": self.share,
            "bins_without_path": self.num_empty,
            "bins": {
                "edges": [self.low + n * width for n in range(len(self.trained))] + [self.high],
                "trained": list(self.trained),
                "drawn": list(self.drawn),
            },
        }


@dataclass(frozen=True)
class Coverage:
    """The report on a trained supernet; `kept`: the share (0-1) of its paths within all limits.

    `updates` has every choice of the space. `left_out` are limits on costs that are not counted.
    """

    feasibility: Feasibility
    updates: Counts
    costs: Mapping[str, CostCoverage]
    num_steps: int
    num_paths: int
    kept: float
    left_out: tuple[str, ...] = ()

    @property
    def never_updated(self) -> dict[str, list[str]]:
        """Position -> the choices that no step updated, where there are any."""
        found = {
            name: [choice for choice, count in counts.items() if count == 0]
            for name, counts in self.updates.items()
        }
        return {name: choices for name, choices in found.items() if choices}

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: the space, the updates, the trained paths."""
        return {
            "space": self.feasibility.as_dict(),
            "limits_left_out": list(self.left_out),
            "never_updated": self.never_updated,
            "updates": {
                name: {
                    "counts": dict(counts),
                    "fewest": min(counts.values()),
                    "most": max(counts.values()),
                    "ratio": _ratio(counts),
                }
                for name, counts in self.updates.items()
            },
            "trained": {
                "steps": self.num_steps,
                "paths": self.num_paths,
                "kept": self.kept,
                "costs": {name: found.as_dict() for name, found in self.costs.items()},
            },
        }

    def table(self) -> str:
        """Text for people: the space, the updates, the costs of the trained paths."""
        parts = [self._space(), self._updates(), self._trained(), self._histograms()]
        return "\n\n".join("\n".join(lines) for lines in parts)

    def _space(self) -> list[str]:
        lines = self.feasibility.table().splitlines()
        if self.feasibility.limits:
            lines.append(f"        kept by {_percent(self.kept)} of the trained paths")
        if self.left_out:
            lines.append(f"        not counted here: {', '.join(self.left_out)}")
        return lines

    def _updates(self) -> list[str]:
        never = [f"{name} {', '.join(choices)}" for name, choices in self.never_updated.items()]
        lines = []
        if never:
            lines.append(
                f"never updated, so that a search scores weights not trained for it: "
                f"{'; '.join(never)}"
            )
        rows = [["updates", "fewest", "of", "most", "of", "most/fewest"]]
        for name, counts in self.updates.items():
            (least, fewest), (frequent, most) = (
                pick(counts.items(), key=lambda item: item[1]) for pick in (min, max)
            )
            ratio = _ratio(counts)
            shown = "-" if ratio is None else f"{ratio:.2f}"
            rows.append([name, f"{fewest:,}", least, f"{most:,}", frequent, shown])
        return lines + aligned(rows)

    def _trained(self) -> list[str]:
        percents = (f"{percent} %" for percent in PERCENTS)
        rows = [["trained", "cheapest", *percents, "dearest", "of the range", "empty tenths"]]
        for name, cost in self.costs.items():
            values = (cost.minimum, *cost.quantiles.values(), cost.maximum)
            tenths = f"{cost.num_empty}" if len(cost.trained) == NUM_BINS else "-"
            rows.append([name, *map(number, values), _percent(cost.share), tenths])
        return [f"{self.num_paths:,} paths in {self.num_steps:,} steps", *aligned(rows)]

    def _histograms(self) -> list[str]:
        rows = [["% in each tenth", "", *map(str, range(1, NUM_BINS + 1))]]
        for name, cost in self.costs.items():
            if len(cost.trained) == NUM_BINS:
                rows.append([name, "trained", *_shares(cost.trained)])
                rows.append(["", "uniform", *_shares(cost.drawn)])
        return aligned(rows)


def histogram(values: Sequence[float], low: float, high: float) -> tuple[int, ...]:
    """How many lie in each of ten equal bins, which hold their lower edges, the last one both.

    One bin where low equals high.
    """
    if low == high:
        return (len(values),)
    counts = Counter(
        min(int((value - low) * NUM_BINS // (high - low)), NUM_BINS - 1) for value in values
    )
    return tuple(counts[number] for number in range(NUM_BINS))


def _ratio(counts: Mapping[str, int]) -> float | None:
    """Most over fewest updates; None where a choice has none."""
    fewest = min(counts.values())
    return max(counts.values()) / fewest if fewest else None


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _shares(counts: Sequence[int]) -> list[str]:
    """Each count as percent of their sum; a point for none."""
    whole = sum(counts)
    return [f"{100 * count / whole:.1f}" if count else "." for count in counts]

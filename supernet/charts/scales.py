"""From values to places in a plot, and the round values that label its axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

PADDING = 0.05
"""Share of the range that is left free at either end."""
TINY = 1e-300
"""Smaller values and differences are none: parts of them could be no numbers any more."""


@dataclass(frozen=True)
class Scale:
    """place = start + (value - low) / (high - low) * (end - start), in SVG units."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        start: float,
        end: float,
        *,
        padding: float = PADDING,
        whole: bool = False,
    ) -> Scale:
        """Around all finite values; around 0 and 1 where there are none.

        Equal values stand in the middle of a range of a tenth of their size; of a `whole` scale,
        of 1.
        """
        found = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(found), max(found)
        if high - low < TINY:
            room = 0.5 if whole else (abs(low) if abs(low) > TINY else 1.0) / 20
            return cls(low - room, high + room, start, end)
        room = (high - low) * padding
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        """The place of a value, to a tenth of a unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def clipped(self, value: float) -> float:
        """The place, or the end of the axis that the value lies beyond."""
        return self(min(max(value, self.low), self.high))

    def ticks(self, most: int, *, whole: bool = False) -> list[float]:
        """At most so many values at multiples of 1, 2 or 5 times a power of ten, ascending."""
        step = self.step(most, whole=whole)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def step(self, most: int, *, whole: bool = False) -> float:
        """The distance of those values."""
        wanted = (self.high - self.low) / most
        magnitude = 10.0 ** math.floor(math.log10(wanted))
        step = next(f * magnitude for f in (1, 2, 5, 10) if f * magnitude >= wanted * (1 - 1e-9))
        return max(step, 1.0) if whole else step


_SCALES = ((1e9, "G"), (1e6, "M"), (1e4, "k"))
"""Thousands are k from 10,000 on; 5,800 stays."""


def tick_labels(ticks: list[float]) -> list[str]:
    """With k, M or G, and as many digits as tell them apart: 48k, 50k, 52k."""
    size = max(map(abs, ticks), default=0.0)
    least, suffix = next((one for one in _SCALES if size >= one[0]), (1.0, ""))
    unit = 1e3 if suffix == "k" else least
    step = min((b - a for a, b in zip(ticks, ticks[1:], strict=False)), default=size or 1.0)
    digits = max(0, -math.floor(math.log10(step / unit) + 1e-9))
    if len(ticks) == 1:
        return [f"{ticks[0] / unit:g}{suffix}"]
    return [f"{tick / unit:.{digits}f}{suffix}" for tick in ticks]


def number(value: float | int | None) -> str:
    """For people: thousands separated, up to four digits behind a small number's point."""
    if value is None:
        return "–"
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:,.4g}"

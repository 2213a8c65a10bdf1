"""Cross-entropy of entrants on the same images, and whether a difference is more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluate.over_images import NORMAL95, from_text


@dataclass(frozen=True)
class Verdict:
    """How one entrant did in a rung: means over its seeds, on the judging images."""

    losses: NDArray[np.float64]
    """Of each image, in nats, the mean over seeds."""
    top1: float
    """Percent."""

    @classmethod
    def of(cls, scores: Sequence[Mapping[str, Any]], images: Sequence[int]) -> Verdict:
        """Of a network's score of each seed (`score_network`), at the numbers of the images."""
        chosen = list(images)
        losses = np.array([score["losses"] for score in scores])
        right = np.array([from_text(score["right"], losses.shape[1]) for score in scores])
        losses, right = losses[:, chosen], right[:, chosen]
        return cls(losses.mean(axis=0), 100.0 * float(right.mean()))

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        return float(self.losses.mean())

    @property
    def error(self) -> float:
        """Standard error of `loss` over images."""
        return _error(self.losses)


@dataclass(frozen=True)
class Difference:
    """By how much one network's cross-entropy lies above another's on the same images."""

    loss: float
    error: float
    """Its standard error over images: that of the images' differences."""

    @classmethod
    def between(cls, worse: Verdict, better: Verdict) -> Difference:
        """Of two on the same images."""
        each = worse.losses - better.losses
        return cls(float(each.mean()), _error(each))

    @property
    def is_tie(self) -> bool:
        """Whether the images give no evidence of a difference, by the 95 % interval over them."""
        return abs(self.loss) <= NORMAL95 * self.error


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1)) / sqrt(len(values)) if len(values) > 1 else 0.0

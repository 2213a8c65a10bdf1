"""What a network answers to the images that it is scored on: which are right, and how surely."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Answers(NamedTuple):
    """Of each image, whether the class is right, and the cross-entropy with its label in nats."""

    right: NDArray[np.bool_]
    losses: NDArray[np.float64]

    @classmethod
    def of(
        cls, classes: NDArray[np.int64], logits: NDArray[np.floating], labels: NDArray[np.integer]
    ) -> Self:
        """Of logits (N, classes) and the `classes` that were taken of them, (N,).

        loss = log(sum_c exp(z_c)) - z_label, in doubles.
        """
        scores = logits.reshape(len(labels), -1).astype(np.float64)
        highest = scores.max(axis=1)
        total = np.log(np.exp(scores - highest[:, None]).sum(axis=1)) + highest
        return cls(classes == labels, total - scores[np.arange(len(labels)), labels])

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Those of several batches, in their order."""
        rights, losses = zip(*parts, strict=True)
        return cls(np.concatenate(rights), np.concatenate(losses))

    @property
    def top1(self) -> float:
        """Percent that are right."""
        return 100.0 * int(self.right.sum()) / len(self.right)

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        return float(self.losses.mean())

    @property
    def loss_error(self) -> float:
        """Standard error of `loss` over images; 0 for a single one."""
        count = len(self.losses)
        return float(self.losses.std(ddof=1)) / sqrt(count) if count > 1 else 0.0


def top1_error(top1: float, images: int) -> float:
    """Standard error of a top-1 in percent over so many images: 100 sqrt(p (1 - p) / n)."""
    share = top1 / 100.0
    return 100.0 * sqrt(max(share * (1.0 - share), 0.0) / images)

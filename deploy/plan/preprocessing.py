"""How an image's levels become the numbers a network was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from deploy.kernels.shapes import Floats
from supernet.files import UserError

NUM_LEVELS = 256


@dataclass(frozen=True)
class Preprocessing:
    """Mean and standard deviation of each channel, for pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not self.mean:
            raise UserError(f"{self}: expected a mean and a std of each channel")
        if not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise UserError(f"{self}: expected finite numbers and positive stds")
        with np.errstate(over="ignore", divide="ignore"):
            levels = self.levels()
        if not np.isfinite(levels).all() or not self.scale_and_shift()[0].all():
            raise UserError(f"{self}: expected numbers that fp32 holds, and stds too")

    def scale_and_shift(self) -> tuple[Floats, Floats]:
        """Of each channel, (C,): a level becomes level * scale - shift."""
        scale = np.array([1 / (255 * std) for std in self.std], np.float32)
        shift = np.array(
            [mean / std for mean, std in zip(self.mean, self.std, strict=True)], np.float32
        )
        return scale, shift

    def levels(self) -> Floats:
        """What each level of each channel becomes, (C, 256).

        Rounded twice, after the product and after the difference, as in training.
        """
        scale, shift = self.scale_and_shift()
        return np.arange(NUM_LEVELS, dtype=np.float32) * scale[:, None] - shift[:, None]

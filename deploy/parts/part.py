"""A plan of some of a network's blocks, which may begin and end with a map."""

from __future__ import annotations

import math

from deploy.plan.plan import Plan
from deploy.plan.preprocessing import Preprocessing


class PartPlan(Plan):
    """A plan that may end in a map, whose floats (H x W x C) pass for classes."""

    def _check_end(self) -> None:
        """Any number of pixels will do."""

    @property
    def num_classes(self) -> int:
        """Floats of the last value."""
        end = self.shapes()[-1]
        return math.prod((*end.sides, end.channels))


def unchanged(channels: int) -> Preprocessing:
    """The preprocessing of what is no image but a map: none."""
    return Preprocessing((0.0,) * channels, (1.0,) * channels)

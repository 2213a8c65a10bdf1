"""How candidates are scored, as it stands in the `search.scoring` section of a config."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from training.scoring.scorer import ScoringConfig

Fitness = Literal["top1", "cross_entropy"]
"""What candidates rank by, best first: percent right, descending, or nats, ascending."""


class SearchScoringConfig(ScoringConfig):
    """`engine`: torch's float convolutions, or the 1-bit kernels (binary spaces, on a CPU).

    `fitness`: what candidates rank by, top-1 or the cross-entropy on the search split, which tells
    networks apart on fewer images.
    """

    engine: Literal["torch", "packed"] = "torch"
    fitness: Fitness = "top1"

    @model_validator(mode="after")
    def _adapts_in_torch(self) -> Self:
        if self.adapt is not None and self.engine != "torch":
            raise ValueError(f"adapt trains in torch: expected engine torch, found {self.engine}")
        return self

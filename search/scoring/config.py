"""How candidates are scored, as it stands in the `search.scoring` section of a config."""

from __future__ import annotations

from typing import Literal

from training.scoring.scorer import ScoringConfig


class SearchScoringConfig(ScoringConfig):
    """`engine`: torch's float convolutions, or the 1-bit kernels (binary spaces, on a CPU)."""

    engine: Literal["torch", "packed"] = "torch"

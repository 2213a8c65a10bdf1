"""The settings of a search, as they stand in the sections of a config."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from search.constraints import Limits
from search.searchers import SearcherConfig
from training.data.config import DataConfig
from training.scoring import ScoringConfig

HOW_IT_RUNS = ("workers", "address", "timeout_s")
"""Fields of `search` that no result depends on: a run may be resumed with others."""


class SearchConfig(SearcherConfig, Limits):
    """Searcher, budget, limits and workers of one search.

    `evaluations` is the number of candidates to score; None: `population` and then `generations`
    times as many. `workers`: Ray actors, 0 scores in this process. `address`: a Ray cluster to
    join. `timeout_s`: seconds after which a worker that scores one candidate counts as hung.
    `feasibility_samples`: uniform draws for the quantiles of each cost.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    searcher: Literal["evolution", "regularized", "random"] = "evolution"
    generations: int = Field(default=20, ge=0)
    evaluations: int | None = Field(default=None, ge=1)
    workers: int = Field(default=0, ge=0)
    address: str | None = None
    timeout_s: float | None = Field(default=None, gt=0)
    feasibility_samples: int = Field(default=2000, ge=1)
    scoring: ScoringConfig = Field(default_factory=ScoringConfig)

    @property
    def budget(self) -> int:
        """Candidates to score, at most (the space may hold fewer)."""
        if self.evaluations is not None:
            return self.evaluations
        return self.population * (1 + self.generations)


class SearchStage(BaseModel):
    """Everything `run_search` needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: dict[str, Any]
    data: DataConfig = Field(default_factory=lambda: DataConfig(name="fashion-mnist-mini"))
    search: SearchConfig = Field(default_factory=SearchConfig)
    seed: int = 0

"""The settings of a search, as they stand in the sections of a config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from search.limits.config import Limits
from search.limits.hand_made import SHARE
from search.limits.latency import LatencyConfig
from search.scoring.config import SearchScoringConfig
from search.searchers import SEARCHERS, Searcher, SearcherConfig
from supernet.costs.limits import limit_names
from supernet.costs.table import LATENCY
from training.bounds import MAX_COUNT, MAX_SECONDS, MAX_WORKERS, Seed
from training.run_files.same_run import CAN_GROW, CHANGES_NOTHING, NOT_RECORDED
from training.section import MAY_BE_PATH
from training.stage import Stage

if TYPE_CHECKING:
    SearcherName = str
else:
    SearcherName = Literal[tuple(SEARCHERS)]


class SearchConfig(SearcherConfig, Limits, LatencyConfig):
    """Searcher, budget, limits and workers of one search.

    `evaluations` is the number of candidates to score; None: `population` and then `generations`
    times as many. `workers`: Ray actors, 0 scores in this process. `address`: a Ray cluster to
    join. `arrays_at`: a folder, by path or URL, through which its nodes get the weights.
    `timeout_s`: seconds after which a worker that scores one candidate counts as hung.
    `batch`: candidates that a worker takes at once and computes leading blocks with equal choices
    of only once, with up to `batch_mib` MiB of their maps in memory.
    `feasibility_samples`: uniform draws for the quantiles of each cost. `start_with`: architecture
    files that are scored first, as the first of generation 0. `designs`: whether some of the
    space's hand-made designs follow them, a quarter of the population at most; None: yes, but for
    searcher random.
    """

    searcher: SearcherName = "evolution"
    generations: int = Field(default=20, ge=0, le=MAX_COUNT)
    evaluations: Annotated[int | None, CAN_GROW] = Field(default=None, ge=1, le=100 * MAX_COUNT)
    workers: Annotated[int, CHANGES_NOTHING, NOT_RECORDED] = Field(default=0, ge=0, le=MAX_WORKERS)
    address: Annotated[str | None, CHANGES_NOTHING, NOT_RECORDED] = None
    arrays_at: Annotated[str | None, MAY_BE_PATH, CHANGES_NOTHING, NOT_RECORDED] = None
    timeout_s: Annotated[float | None, CHANGES_NOTHING, NOT_RECORDED] = Field(
        default=None, gt=0, le=MAX_SECONDS
    )
    batch: Annotated[int, CHANGES_NOTHING, NOT_RECORDED] = Field(default=1, ge=1, le=MAX_COUNT)
    batch_mib: Annotated[int, CHANGES_NOTHING, NOT_RECORDED] = Field(default=1024, ge=1, le=2**20)
    start_with: tuple[Path, ...] | None = Field(default=None, min_length=1)
    designs: bool | None = None
    feasibility_samples: int = Field(default=2000, ge=1, le=MAX_COUNT // 10)
    scoring: SearchScoringConfig = Field(default_factory=SearchScoringConfig)

    @model_validator(mode="after")
    def _has_objectives(self) -> Self:
        if self.objectives is not None and not self.kind.takes_objectives:
            able = _names("takes_objectives")
            raise ValueError(f"objectives are for searcher {able}, not for {self.searcher}")
        return self

    @model_validator(mode="after")
    def _screens_by_top1(self) -> Self:
        if self.screen is not None and not self.kind.screens:
            raise ValueError(
                f"screen orders children by top-1 alone: it is for searcher {_names('screens')}, "
                f"not for {self.searcher}"
            )
        return self

    @model_validator(mode="after")
    def _races_for_top1(self) -> Self:
        if self.racing is None:
            return self
        if self.scoring.fitness != "top1" or self.scoring.adapt is not None:
            asked = "adapt" if self.scoring.adapt is not None else "fitness cross_entropy"
            raise ValueError(
                f"racing compares right and wrong answers image by image as a candidate is scored: "
                f"it is not for scoring.{asked}"
            )
        if not self.kind.races:
            raise ValueError(
                f"racing stops what does not lead by top-1: it is for searcher {_names('races')}, "
                f"not for {self.searcher}"
            )
        if self.kind.keeps_parents and self.racing.leaders < self.parents:
            raise ValueError(
                f"racing.leaders {self.racing.leaders} are fewer than the {self.parents} parents, "
                f"which must be scored in full"
            )
        return self

    @model_validator(mode="after")
    def _has_a_table(self) -> Self:
        wanted = [name for name in self.limits() if name in limit_names([LATENCY])]
        wanted += [name for name in self.minimised if name == LATENCY]
        if wanted and self.latency_table is None:
            raise ValueError(f"{wanted[0]} needs latency_table, a file of 'evobit latency-table'")
        return self

    @model_validator(mode="after")
    def _has_budget_for_the_given(self) -> Self:
        if len(self.start_with or ()) > self.budget:
            raise ValueError(
                f"start_with names {len(self.start_with or ())} files, more than the budget of "
                f"{self.budget} candidates"
            )
        return self

    def _check_shares(self) -> None:
        if not self.kind.fills_population:
            super()._check_shares()

    @property
    def kind(self) -> type[Searcher]:
        """The searcher's class, which says what may be asked of it."""
        return SEARCHERS[self.searcher]

    @property
    def minimised(self) -> tuple[str, ...]:
        """The costs minimised beside the fitness; none where that alone counts."""
        return (
            (self.objectives or self.kind.default_objectives) if self.kind.takes_objectives else ()
        )

    @property
    def has_designs(self) -> bool:
        """Whether generation 0 holds hand-made designs."""
        return self.kind.begins_with_designs if self.designs is None else self.designs

    @property
    def most_designs(self) -> int:
        """How many, at most: a share of the population, whose size they leave as it is.

        The budget has no part in it: it can grow, and must then lead to the same history.
        """
        if not self.has_designs:
            return 0
        room = self.population - len(self.start_with or ())
        return max(0, min(self.population // SHARE, room))

    @property
    def budget(self) -> int:
        """Candidates to score, at most (the space may hold fewer)."""
        if self.evaluations is not None:
            return self.evaluations
        return self.population * (1 + self.generations)


def _names(ability: str) -> str:
    """The names of the searchers that have it, in words."""
    return " or ".join(name for name, kind in SEARCHERS.items() if getattr(kind, ability))


class SearchStage(Stage):
    """Everything `run_search` needs."""

    search: SearchConfig = Field(default_factory=SearchConfig)
    seed: Seed = 0

    def recorded(self) -> dict[str, Any]:
        """See `Stage.recorded`; budget and objectives as one, in whichever way they were given."""
        config = super().recorded()
        search = config["search"]
        # Two ways to give one budget; recorded as one, so that a resume can compare it.
        search["evaluations"] = self.search.budget
        del search["generations"]
        # As before there was a choice.
        if self.search.scoring.engine == "torch":
            del search["scoring"]["engine"]
        if self.search.racing is None:
            del search["racing"]
        search["objectives"] = list(self.search.minimised) or None
        # Whether, not how it was said; as before there were any where there are none.
        search["designs"] = True
        if not self.search.has_designs:
            del search["designs"]
        return config

    @classmethod
    def of_record(cls, document: Mapping[str, Any]) -> Self:
        """See `Stage.of_record`; a record without designs is of a search without."""
        return super().of_record(_with_said(document))

    def as_begun(self, record: Mapping[str, Any]) -> Self:
        """See `Stage.as_begun`; what was begun without designs goes on so, unless they are asked.

        A search of before there were any is such a one.
        """
        begun = record.get("search")
        if self.search.designs is not None or not isinstance(begun, Mapping) or "designs" in begun:
            return self
        return self.model_copy(update={"search": self.search.model_copy(update={"designs": False})})


def _with_said(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record in which it is said whether there are designs."""
    if not isinstance(search := document.get("search"), Mapping):
        return document
    return {**document, "search": {"designs": False, **search}}


STAGE = "search"

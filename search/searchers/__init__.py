"""The searchers by name, one file a searcher."""

from __future__ import annotations

from search.searchers.base import Proposal, Searcher, SearcherConfig
from search.searchers.evolution import Evolution
from search.searchers.nsga2 import Nsga2
from search.searchers.random_search import RandomSearch
from search.searchers.regularized import RegularizedEvolution
from search.searchers.surrogate_search import SurrogateSearch

SEARCHERS: dict[str, type[Searcher]] = {
    "evolution": Evolution,
    "nsga2": Nsga2,
    "regularized": RegularizedEvolution,
    "random": RandomSearch,
    "surrogate": SurrogateSearch,
}

__all__ = ["SEARCHERS", "Proposal", "Searcher", "SearcherConfig"]

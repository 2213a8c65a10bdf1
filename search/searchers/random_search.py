"""Random search: uniform feasible architectures, the baseline at equal budget."""

from __future__ import annotations

from collections.abc import Sequence

from search.searchers.base import Searcher, Share
from supernet.candidate import Candidate


class RandomSearch(Searcher):
    """Every generation is `population` random feasible architectures; scores change nothing."""

    races = True
    begins_with_designs = False

    @property
    def size(self) -> int:
        """Every generation holds `population` proposals."""
        return self.config.population

    def shares(self) -> list[Share]:
        """Nothing: all proposals are random filling."""
        return []

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is learnt."""

"""Random search: uniform feasible architectures, the baseline at equal budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.candidate import Candidate
from search.searchers.base import Searcher
from supernet.architecture import Architecture


class RandomSearch(Searcher):
    """Every generation is `population` random feasible architectures; scores change nothing."""

    @property
    def size(self) -> int:
        """Every generation holds `population` proposals."""
        return self.config.population

    def next_generation(self) -> Iterator[tuple[str, Architecture]]:
        """Nothing: all proposals are random filling."""
        return iter(())

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Nothing is learnt."""

"""Regularized (aging) evolution: Real et al., arXiv 1802.01548, Algorithm 1.

Differs from the paper: `children` are drawn at once from the same population, so that they can be
scored in parallel with the same result for any number of workers; no architecture is scored twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from search.searchers.base import Searcher, Share
from search.searchers.operators import mutate
from supernet.architecture import Architecture
from supernet.candidate import Candidate, RankKey, rank_key


class RegularizedEvolution(Searcher):
    """A queue of `population` candidates: tournaments choose parents, children push out the oldest.

    A child is the best of `tournament` candidates, drawn with replacement, with one position
    changed. The first generation is random. With a lag a child is drawn as soon as it may be, from
    who is alive then: the paper's asynchronous workers, with their delay fixed.
    """

    screens = True

    _alive: Sequence[tuple[RankKey, Architecture]] = ()
    """The population, oldest first."""

    @property
    def size(self) -> int:
        """The whole population at first, then `children` a generation."""
        return self.config.population if self._generation == 0 else self.config.children

    def shares(self) -> list[Share]:
        """Mutated tournament winners; none while no candidate is alive."""
        return [Share("mutation", self.size, self._child)] if self._alive else []

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Let scored candidates in, in index order, and the oldest out."""
        scored = [(rank_key(c), c.architecture) for c in candidates if c.top1 is not None]
        self._alive = [*self._alive, *scored][-self.config.population :]

    def _child(self) -> Architecture:
        rivals = self.rng.choices(self._alive, k=self.config.tournament)
        _, winner = min(rivals, key=itemgetter(0))
        return mutate(self.space, winner, self.rng, 0.0)

"""Regularized (aging) evolution: Real et al., arXiv 1802.01548, Algorithm 1.

Differs from the paper: `children` are drawn at once from the same population, so that they can be
scored in parallel with the same result for any number of workers; no architecture is scored twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from search.candidate import Candidate, rank_key
from search.operators import mutate
from search.searchers.base import Searcher
from supernet.architecture import Architecture


class RegularizedEvolution(Searcher):
    """A queue of `population` candidates: tournaments choose parents, children push out the oldest.

    A child is the best of `tournament` candidates, drawn with replacement, with one position
    changed. The first generation is random.
    """

    _alive: deque[Candidate] | None = None

    @property
    def size(self) -> int:
        """The whole population at first, then `children` a generation."""
        return self.config.population if self._alive is None else self.config.children

    def next_generation(self) -> Iterator[tuple[str, Architecture]]:
        """Mutated tournament winners; none while no candidate is alive."""
        if self._alive:
            for child in self.vary(self.config.children, self._child):
                yield "mutation", child

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Let scored candidates in, in index order, and the oldest out."""
        if self._alive is None:
            self._alive = deque(maxlen=self.config.population)
        self._alive.extend(candidate for candidate in candidates if candidate.top1 is not None)

    def _child(self) -> Architecture:
        assert self._alive is not None
        rivals = self.rng.choices(self._alive, k=self.config.tournament)
        return mutate(self.space, min(rivals, key=rank_key).architecture, self.rng, 0.0)

"""Evolution after SPOS (arXiv 1904.00420) and MetaPruning (arXiv 1903.10258).

Their codes agree in the shares of a generation and in who descends. Differs from the paper: parents
of a crossover are distinct (as in MetaPruning's code, not in SPOS's), a mutation changes at least
one position, random filling is bounded, and the last generation counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from search.searchers.base import Searcher, Share
from search.searchers.operators import crossover, mutate
from supernet.architecture import Architecture
from supernet.candidate import Candidate, best


class Evolution(Searcher):
    """Generation 0 is random; each later one mutates and crosses the best parents ever seen.

    A generation is `mutations` mutants, `crossovers` crossings of two distinct parents, and
    fresh random feasible architectures up to `population`.
    """

    screens = races = keeps_parents = True

    _parents: Sequence[Candidate] = ()

    @property
    def size(self) -> int:
        """Every generation holds `population` proposals."""
        return self.config.population

    def shares(self) -> list[Share]:
        """Mutants, then crossings; none while there is no scored candidate to descend from."""
        parents = [candidate.architecture for candidate in self._parents]
        shares = []
        if parents:
            mutant = partial(self._mutant, parents)
            shares.append(Share("mutation", self.config.mutations, mutant))
        if len(parents) > 1:
            child = partial(self._child, parents)
            shares.append(Share("crossover", self.config.crossovers, child))
        return shares

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Keep the best `parents` of all seen."""
        self._parents = best([*self._parents, *candidates], self.config.parents)

    def _mutant(self, parents: list[Architecture]) -> Architecture:
        parent = self.rng.choice(parents)
        return mutate(self.space, parent, self.rng, self.config.mutation_probability)

    def _child(self, parents: list[Architecture]) -> Architecture:
        first, second = self.rng.sample(parents, 2)
        return crossover(first, second, self.rng)

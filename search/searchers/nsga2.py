"""NSGA-II: Deb, Pratap, Agarwal, Meyarivan, IEEE TEC 6(2), 2002, section III; limits: section VI.

Differs from the paper: choices are crossed uniformly and mutated as in
`search.searchers.operators`, every child is both; children that break a limit or repeat an
architecture are drawn anew, unscored.
"""

from __future__ import annotations

from collections.abc import Sequence

from search.searchers.base import Searcher, Share
from search.searchers.operators import crossover, mutate
from search.searchers.pareto import crowding_distances, sort_into_fronts
from supernet.architecture import Architecture
from supernet.candidate import Candidate


class Nsga2(Searcher):
    """Generation 0 is random; of parents and children the best `population` stay.

    Better is who lies in an earlier front, then who lies less crowded. A child crosses the winners
    of two tournaments of two and is mutated. With a lag candidates join the population one by one
    (steady state), the worst going.
    """

    takes_objectives = fills_population = True

    _ranked: Sequence[Candidate] = ()
    """The population, best first."""

    @property
    def size(self) -> int:
        """Every generation holds `population` proposals."""
        return self.config.population

    def shares(self) -> list[Share]:
        """Children; none while there is no scored candidate to descend from."""
        return [Share("crossover", self.size, self._child)] if self._ranked else []

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Rank parents and newcomers together and keep the best `population`."""
        scored = [c for c in (*self._ranked, *candidates) if c.top1 is not None]
        points = [self._point(candidate) for candidate in scored]
        violations = [self.sampler.violation(candidate.costs) for candidate in scored]
        ranked: list[Candidate] = []
        for front in sort_into_fronts(points, violations):
            distances = crowding_distances([points[i] for i in front])
            order = sorted(range(len(front)), key=lambda k: -distances[k])
            ranked += [scored[front[k]] for k in order]
        self._ranked = ranked[: self.config.population]

    def _point(self, candidate: Candidate) -> tuple[float, ...]:
        assert candidate.fitness is not None
        costs = self.config.objectives or self.default_objectives
        return -candidate.fitness, *(candidate.costs[name] for name in costs)

    def _child(self) -> Architecture:
        first, second = (self._winner().architecture for _ in range(2))
        child = crossover(first, second, self.rng)
        return mutate(self.space, child, self.rng, self.config.mutation_probability)

    def _winner(self) -> Candidate:
        """The better of two drawn with replacement."""
        places = range(len(self._ranked))
        return self._ranked[min(self.rng.choices(places, k=2))]

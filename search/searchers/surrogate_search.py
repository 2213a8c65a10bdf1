"""Search in rounds: a surrogate learns from what was scored, and evolution on it asks what next.

After NSGANetV2 (arXiv 2007.10396): dear scores of a few tens of networks, a surrogate of them, and
evolution on the surrogate. Differs from the paper: one Gaussian process instead of a choice among
four models; a round takes in what is unknown as well (upper confidence bounds), not the front of
the guesses alone; limits are kept by what is asked for, not by a penalty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search.searchers.base import Searcher, Share
from search.searchers.canonical import Canonical
from search.searchers.gaussian_process import GaussianProcess
from search.searchers.operators import crossover, mutate
from search.searchers.pareto import crowding_distances, sort_into_fronts
from supernet.architecture import Architecture
from supernet.candidate import Candidate, best

EXPLORED = 8
"""One of so many of a round is random: it keeps the surrogate honest."""

BOLDEST = 1.0
"""The deviations that the boldest of a round may hope for; the first of a round hopes for none."""

POOL = 50
"""Architectures that the evolution on the surrogate goes on with."""

CHILDREN = 50
"""A generation of it."""

GENERATIONS = 10
"""How many."""

APART = 2
"""Positions in which two of a round differ, at least, as long as there are such."""


class SurrogateSearch(Searcher):
    """Rounds of `population` proposals: given and random ones, then what a surrogate asks for.

    Of a round all but one in eight maximise mean + k deviation of the surrogate within the limits,
    k rising from 0 to 1, so that the round holds its best guesses and what might be better still.
    A round is asked for at once, of what is known as it begins, also with a lag.
    With objectives a round is spread over the front of the guesses instead. The surrogate learns
    the fitness, whatever that is: most is to be had where a score is dear and near the truth, as
    adapted ones are.
    """

    takes_objectives = fills_population = True
    default_objectives = ()

    _scored: Sequence[Candidate] = ()
    _predictor: GaussianProcess | None = None
    """That of the present round."""
    _round = 0
    """The generation that it was asked for."""

    @property
    def size(self) -> int:
        """Every round holds `population` proposals."""
        return self.config.population

    def shares(self) -> list[Share]:
        """What the surrogate asks for; none while no candidate is scored."""
        if not self._scored:
            return []
        wanted = self.size - max(1, self.size // EXPLORED) if self.size > 1 else 1
        if self._round != self._generation:
            self._round, self._predictor = self._generation, None
            self._next = self._asked(wanted)
        return [Share("surrogate", wanted, lambda: next(self._next))]

    @cached_property
    def _canonical(self) -> Canonical:
        return Canonical(self.space)

    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Take in what the surrogate is fitted to when the next round begins."""
        self._scored = [*self._scored, *(one for one in candidates if one.fitness is not None)]

    def _guesses(self, architectures: Sequence[Architecture]) -> Sequence[float | None]:
        if self._predictor is None:
            return [None] * len(architectures)
        same = [self._canonical(one) for one in architectures]
        return self._predictor.guess(same).mean.tolist()

    def _fitted(self) -> GaussianProcess:
        if self._predictor is None:
            self._predictor = GaussianProcess(self.space)
            self._predictor.fit(
                [self._canonical(one.architecture) for one in self._scored],
                [one.fitness for one in self._scored if one.fitness is not None],
            )
        return self._predictor

    def _asked(self, count: int) -> Iterator[Architecture]:
        """The architectures of a round, best first; then random ones, should some be known."""
        pool = self._evolved()
        yield from self._front(pool, count) if self.config.objectives else self._bold(pool, count)
        while True:
            yield self.space.sample(self.rng)

    def _evolved(self) -> list[Architecture]:
        """Feasible architectures that no candidate is, near the best of the surrogate's guesses."""
        known = {self._canonical(one) for one in self._known}
        leaders = best(self._scored, POOL // 4)
        pool = dict.fromkeys(self._canonical(one.architecture) for one in leaders)
        for _ in range(POOL):
            if (drawn := self.sampler.draw(self.rng, pool.keys())) is not None:
                pool[self._canonical(drawn)] = None
        ranked = self._ranked(list(pool))[:POOL]
        found = dict.fromkeys(one for one in ranked if one not in known)
        for _ in range(GENERATIONS):
            children = [one for one in self._children(ranked) if one not in pool]
            if not children:
                continue
            pool |= dict.fromkeys(children)
            found |= dict.fromkeys(one for one in children if one not in known)
            ranked = self._ranked([*ranked, *children])[:POOL]
        return list(found)

    def _children(self, parents: Sequence[Architecture]) -> Iterator[Architecture]:
        """Distinct feasible ones: half of them mutants, half crossings that are mutated."""
        made: dict[Architecture, None] = {}
        for number in range(CHILDREN):
            one = self.rng.choice(parents)
            if number % 2 and len(parents) > 1:
                first, second = self.rng.sample(parents, 2)
                one = crossover(first, second, self.rng)
            one = mutate(self.space, one, self.rng, self.config.mutation_probability)
            if self.sampler.is_feasible(one):
                made[self._canonical(one)] = None
        yield from made

    def _ranked(self, architectures: list[Architecture]) -> list[Architecture]:
        """Best first: by mean and half the boldness, or front by front."""
        if not architectures:
            return []
        values = self._hopes(architectures, BOLDEST / 2)
        if not self.config.objectives:
            order = sorted(range(len(values)), key=lambda i: -values[i])
            return [architectures[i] for i in order]
        points = [
            (-float(value), *self._costs(one))
            for value, one in zip(values, architectures, strict=True)
        ]
        order = []
        for front in sort_into_fronts(points, [0.0] * len(points)):
            distances = crowding_distances([points[i] for i in front])
            order += [front[k] for k in sorted(range(len(front)), key=lambda k: -distances[k])]
        return [architectures[i] for i in order]

    def _hopes(self, architectures: Sequence[Architecture], boldness: float) -> NDArray[np.float64]:
        guess = self._fitted().guess(architectures)
        return guess.mean + boldness * guess.deviation

    def _costs(self, architecture: Architecture) -> tuple[float, ...]:
        costs = self.sampler.costs(architecture)
        return tuple(costs[name] for name in self.config.objectives or ())

    def _front(self, pool: list[Architecture], count: int) -> list[Architecture]:
        return self._ranked(pool)[:count]

    def _bold(self, pool: list[Architecture], count: int) -> Iterator[Architecture]:
        """One for each boldness, apart from those before it as long as there are such."""
        if not pool:
            return
        guess = self._fitted().guess(pool)
        left = dict.fromkeys(range(len(pool)))
        taken: list[Architecture] = []
        for boldness in np.linspace(0.0, BOLDEST, count):
            hopes = guess.mean + boldness * guess.deviation
            order = sorted(left, key=lambda i: -hopes[i])
            if not order:
                return
            apart = (i for i in order if all(_apart(pool[i], one) >= APART for one in taken))
            chosen = next(apart, order[0])
            del left[chosen]
            taken.append(pool[chosen])
            yield pool[chosen]


def _apart(first: Architecture, second: Architecture) -> int:
    """The number of positions in which two architectures differ."""
    return sum(a != b for a, b in zip(first.choices, second.choices, strict=True))

"""What every searcher is: it proposes architectures, learns from scores, and repeats nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from search.candidate import Candidate
from search.sampling import FeasibleSampler
from supernet.architecture import Architecture

TRIES = 10
"""Draws per wanted mutation or crossover, at most (as in the codes of SPOS and MetaPruning)."""


class SearcherConfig(BaseModel):
    """Settings of the searchers; the defaults are those of SPOS's and MetaPruning's code.

    `population` candidates a generation (evolution, nsga2, random) or alive at once (regularized).
    `parents`, `mutations`, `crossovers`: evolution. `mutation_probability` is per position.
    `tournament` and `children` a generation: regularized evolution. `objectives`: nsga2; the costs
    that it minimises beside top-1, None for OPs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    population: int = Field(default=50, ge=1)
    parents: int = Field(default=10, ge=1)
    mutations: int = Field(default=25, ge=0)
    crossovers: int = Field(default=25, ge=0)
    mutation_probability: float = Field(default=0.1, ge=0, le=1)
    tournament: int = Field(default=10, ge=1)
    children: int = Field(default=16, ge=1)
    objectives: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._check_shares()
        return self

    def _check_shares(self) -> None:
        if self.mutations + self.crossovers > self.population:
            raise ValueError(
                f"mutations {self.mutations} and crossovers {self.crossovers} are more than "
                f"the population of {self.population}"
            )


@dataclass(frozen=True)
class Proposal:
    """An architecture to score, the generation it belongs to, and how it arose."""

    architecture: Architecture
    generation: int
    origin: str


class Searcher(ABC):
    """Proposes feasible architectures by `ask`, learns their scores by `tell`.

    Works in generations: what a generation proposes depends on the generator's seed and on the
    candidates of earlier generations alone, never on how many are asked for at a time. So a
    history of any length can be replayed, and a larger budget continues a smaller one.
    No architecture is proposed twice and every draw is bounded.
    """

    def __init__(self, sampler: FeasibleSampler, config: SearcherConfig, rng: Random) -> None:
        """`rng` is the only source of randomness and belongs to this searcher alone."""
        self.sampler = sampler
        self.space = sampler.space
        self.config = config
        self.rng = rng
        self._generation = 0
        self._queue: deque[Proposal] = deque()
        self._known: set[Architecture] = set()
        self._num_untold = 0
        self._told: list[Candidate] = []

    def ask(self, count: int) -> list[Proposal]:
        """The next proposals, at most `count` and all of one generation.

        Fewer than `count` where the generation ends; none where the space, or the bounded number
        of draws, is exhausted. Every proposal must be told before the next generation is asked.
        """
        if not self._queue:
            assert self._num_untold == 0, "a generation is asked before the last one was told"
            if self._told:
                self.learn(self._told)
                self._told = []
            self._queue.extend(self._new(self.next_generation()))
            self._generation += 1
            self._num_untold = len(self._queue)
        return [self._queue.popleft() for _ in range(min(count, len(self._queue)))]

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Give the scores of proposals, in the order of their index; failed ones included."""
        self._told += candidates
        self._num_untold -= len(candidates)

    @property
    @abstractmethod
    def size(self) -> int:
        """How many proposals the generation that comes next should hold; at least 1."""

    @abstractmethod
    def next_generation(self) -> Iterator[tuple[str, Architecture]]:
        """Yield (origin, architecture) for the generation that comes next, feasible and unknown.

        Called once a generation, after `learn` saw all earlier candidates. May yield fewer than
        `size`: the shortfall is filled with random feasible architectures.
        """

    @abstractmethod
    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Take in one whole generation, in index order; failed candidates have top1 None."""

    def vary(self, count: int, draw: Callable[[], Architecture]) -> Iterator[Architecture]:
        """Up to `count` feasible, unknown results of `draw` in at most 10 x `count` tries."""
        found = 0
        for _ in range(TRIES * count):
            if found == count:
                return
            architecture = draw()
            if architecture not in self._known and self.sampler.is_feasible(architecture):
                found += 1
                yield architecture

    def _new(self, varied: Iterator[tuple[str, Architecture]]) -> Iterator[Proposal]:
        """Number and remember the generation's proposals; fill it up with random ones."""
        size = self.size
        for origin, architecture in islice(varied, size):
            self._known.add(architecture)
            yield Proposal(architecture, self._generation, origin)
            size -= 1
        for _ in range(size):
            drawn = self.sampler.draw(self.rng, self._known)
            if drawn is None:
                return
            self._known.add(drawn)
            yield Proposal(drawn, self._generation, "random")

"""What every searcher is: it proposes architectures, learns from scores, and repeats nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import ClassVar, NamedTuple, Self

from pydantic import Field, model_validator

from search.limits.sampling import FeasibleSampler
from search.scoring.racing import Leaders, RacingConfig
from search.searchers.surrogate import Surrogate
from supernet.architecture import Architecture
from supernet.candidate import Candidate, SharedChoices
from training.bounds import MAX_COUNT, MAX_REPEATS
from training.section import Section

TRIES = 10
"""Draws per wanted mutation or crossover, at most, as in the codes of SPOS and MetaPruning."""


OBJECTIVES = ("ops",)
"""The costs minimised beside the fitness where a front is asked for and nobody names any."""


class SearcherConfig(Section):
    """Settings of the searchers; evolution's defaults are those of SPOS's and MetaPruning's code.

    `population` candidates a generation (evolution, nsga2, random) or alive at once (regularized).
    `parents`, `mutations`, `crossovers`: evolution. `mutation_probability` is per position.
    `tournament` and `children` a generation: regularized evolution. `objectives`: nsga2; the costs
    that it minimises beside top-1, None for OPs.

    `lag` L: candidate i is drawn from the results of candidates 0 to i - L, and of no others, so
    that L candidates can be scored at once and no worker waits for a generation's last one. None:
    a generation is drawn from all earlier generations. Results never depend on the number of
    workers; all of them are busy where L is twice their number or more.

    `screen` S: for each child (not for random ones) S are drawn, and the one is scored of which a
    linear surrogate, learnt from the same results, guesses the best top-1. None: each is scored.

    `racing`: candidates that clearly lose against the leaders of the same results are stopped
    early. None: all are scored in full.
    """

    population: int = Field(default=50, ge=1, le=MAX_COUNT)
    parents: int = Field(default=10, ge=1, le=MAX_COUNT)
    mutations: int = Field(default=25, ge=0, le=MAX_COUNT)
    crossovers: int = Field(default=25, ge=0, le=MAX_COUNT)
    mutation_probability: float = Field(default=0.1, ge=0, le=1)
    tournament: int = Field(default=10, ge=1, le=MAX_COUNT)
    children: int = Field(default=16, ge=1, le=MAX_COUNT)
    objectives: tuple[str, ...] | None = Field(default=None, min_length=1)
    lag: int | None = Field(default=None, ge=1, le=MAX_COUNT)
    screen: int | None = Field(default=None, ge=2, le=MAX_REPEATS)
    racing: RacingConfig | None = None

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


class Proposal(NamedTuple):
    """An architecture to score, the generation it belongs to, and how it arose.

    `ends_generation`: it is the last one of its generation. `guess`: the surrogate's, of the
    fitness, where there is one. `rival`: the bits that it races against, where it does.
    """

    architecture: Architecture
    generation: int
    origin: str
    ends_generation: bool = False
    guess: float | None = None
    rival: bytes | None = None


@dataclass(frozen=True)
class Share:
    """So many proposals of a generation that arise in one way: each is a result of `draw`."""

    origin: str
    count: int
    draw: Callable[[], Architecture]


class Searcher(ABC):
    """Proposes feasible architectures by `ask`, learns their scores by `tell`.

    Works in generations of `size` proposals, made of `shares` and, up to `size`, of random ones.
    Without a lag, what a generation proposes depends on the generator's seed and on the candidates
    of earlier generations alone. With a lag of L, proposal i depends on the seed and on candidates
    0 to i - L alone; a generation then is the next `size` proposals by index, in the same shares.
    Never does a proposal depend on how many are asked for at a time, or on how many were told
    early. So a history of any length can be replayed, and a larger budget continues a smaller one.
    No architecture is proposed twice and every draw is bounded.

    What a config may ask of a searcher is said by its class, as follows; by default little.
    """

    takes_objectives: ClassVar[bool] = False
    """Whether costs can be minimised beside the fitness (`objectives`)."""

    default_objectives: ClassVar[tuple[str, ...]] = OBJECTIVES
    """The costs that are where a config names none; none: the fitness alone counts then."""

    screens: ClassVar[bool] = False
    """Whether children are ordered by top-1 alone, so that a guess of it may choose (`screen`)."""

    races: ClassVar[bool] = False
    """Whether what does not lead by top-1 may be stopped early (`racing`)."""

    keeps_parents: ClassVar[bool] = False
    """Whether the best `parents` count on: they must be scored in full, however others race."""

    fills_population: ClassVar[bool] = False
    """Whether children fill the population, whatever `mutations` and `crossovers` say."""

    begins_with_designs: ClassVar[bool] = True
    """Whether generation 0 holds hand-made designs, unless the config says otherwise."""

    def __init__(
        self,
        sampler: FeasibleSampler,
        config: SearcherConfig,
        rng: Random,
        given: Sequence[Architecture] = (),
        designs: Sequence[Architecture] = (),
    ) -> None:
        """`rng` is the only source of randomness and belongs to this searcher alone.

        `given`, then `designs`: feasible architectures, none twice, that generation 0 begins with.
        """
        self.sampler = sampler
        self.space = sampler.space
        self.config = config
        self.rng = rng
        self._generation = 0
        self._choices = SharedChoices(self.space)
        self._known: set[Architecture] = set()
        self._queue: deque[Proposal] = deque()
        self._num_asked = 0
        self._num_told = 0
        self._told: deque[Candidate] = deque()
        self._place = 0
        named = (("given", given), ("design", designs))
        self._given = deque((origin, one) for origin, every in named for one in every)
        self._num_given = len(self._given)
        self._is_dry = False
        self._surrogate = Surrogate(self.space) if config.screen else None
        self._leaders = Leaders(config.racing.leaders) if config.racing else None

    @property
    def is_waiting(self) -> bool:
        """Whether the next proposal depends on candidates that have yet to be told."""
        return not self._queue and self._num_told < self._num_needed

    @property
    def _num_needed(self) -> int:
        """How many candidates the next draw depends on: the first so many."""
        if self.config.lag is None:
            return self._num_asked
        return max(0, self._num_asked - self.config.lag + 1)

    def ask(self, count: int) -> list[Proposal]:
        """The next proposals, at most `count`; fewer where the next one has to wait.

        None where the space, or the bounded number of draws, is exhausted. Not to be called while
        the searcher `is_waiting`.
        """
        assert not self.is_waiting, "asked before the candidates that matter were told"
        proposals: list[Proposal] = []
        while len(proposals) < count and not self.is_waiting:
            if not self._queue and not self._is_dry:
                self._draw()
            if not self._queue:
                self._is_dry = True
                break
            proposals.append(self._queue.popleft())
            self._num_asked += 1
        return proposals

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Give the scores of proposals, in the order of their index; failed ones included."""
        self._told.extend(candidates)
        self._num_told += len(candidates)

    @property
    @abstractmethod
    def size(self) -> int:
        """How many proposals the generation that comes next should hold; at least 1."""

    @abstractmethod
    def shares(self) -> Sequence[Share]:
        """What the generation that comes next is made of, beside random feasible architectures.

        `draw` need not heed limits or what is known: its result is drawn anew then, up to a
        bounded number of times.
        """

    @abstractmethod
    def learn(self, candidates: Sequence[Candidate]) -> None:
        """Take in the candidates that come next in index order; failed ones have top1 None.

        Without a lag they are one whole generation, with a lag one alone.
        """

    def _draw(self) -> None:
        """Queue the next generation, or with a lag the next proposal; nothing if there is none."""
        num_unlearnt = self._num_needed - (self._num_told - len(self._told))
        if num_unlearnt > 0:
            told = [self._told.popleft() for _ in range(num_unlearnt)]
            self.learn(told)
            if self._surrogate is not None:
                self._surrogate.learn(told)
            if self._leaders is not None:
                self._leaders.learn(told)
        is_first = self._generation == 0
        size = max(self.size, self._num_given) if is_first else self.size
        shares = () if is_first else self.shares()
        if self.config.lag is None:
            drawn = list(islice(self._generation_of(shares), size))
            size = len(drawn)
        else:
            drawn = list(islice(self._one_of(shares), 1))
        rival = self._leaders.rival if self._leaders is not None else None
        bits = rival.correct if rival is not None else None
        for origin, architecture in drawn:
            self._place += 1
            is_last = self._place == size
            guess = self._guesses([architecture])[0]
            proposal = Proposal(architecture, self._generation, origin, is_last, guess, bits)
            self._queue.append(proposal)
        if self._place == size:
            self._generation, self._place = self._generation + 1, 0

    def _generation_of(self, shares: Sequence[Share]) -> Iterator[tuple[str, Architecture]]:
        """Origins and architectures of a whole generation: its shares, then random ones."""
        yield from self._given_ones()
        for share in shares:
            for architecture in self._vary(share.count, share.draw):
                yield share.origin, architecture
        yield from self._random()

    def _one_of(self, shares: Sequence[Share]) -> Iterator[tuple[str, Architecture]]:
        """The proposal at the present place of a generation; random where its share gives none."""
        yield from self._given_ones()
        place = self._place
        for share in shares:
            if place < share.count:
                for architecture in self._vary(1, share.draw):
                    yield share.origin, architecture
                break
            place -= share.count
        yield from self._random()

    def _given_ones(self) -> Iterator[tuple[str, Architecture]]:
        """The given architectures and the designs that are not proposed yet."""
        while self._given:
            origin, architecture = self._given.popleft()
            yield origin, self._remember(architecture)

    def _random(self) -> Iterator[tuple[str, Architecture]]:
        """Random feasible architectures, unknown, as long as there are any."""
        while (drawn := self.sampler.draw(self.rng, self._known)) is not None:
            yield "random", self._remember(drawn)

    def _vary(self, count: int, draw: Callable[[], Architecture]) -> Iterator[Architecture]:
        """Up to `count` feasible, unknown results of `draw` in at most 10 tries for each.

        With a surrogate those of `screen` times as many that it guesses to be best, best first.
        """
        if self._surrogate is None or not self._surrogate.num_learnt:
            yield from map(self._remember, self._unknown(count, draw))
            return
        assert self.config.screen is not None
        drawn = list(dict.fromkeys(self._unknown(self.config.screen * count, draw)))
        guesses = self._surrogate.guess(drawn)
        best = sorted(range(len(drawn)), key=lambda k: -guesses[k])[:count]
        yield from (self._remember(drawn[k]) for k in best)

    def _unknown(self, count: int, draw: Callable[[], Architecture]) -> Iterator[Architecture]:
        found = 0
        for _ in range(TRIES * count):
            if found == count:
                return
            architecture = draw()
            if architecture not in self._known and self.sampler.is_feasible(architecture):
                found += 1
                yield architecture

    def _guesses(self, architectures: Sequence[Architecture]) -> Sequence[float | None]:
        """The surrogate's, None where it knows nothing yet."""
        if self._surrogate is None or not self._surrogate.num_learnt:
            return [None] * len(architectures)
        return self._surrogate.guess(architectures)

    def _remember(self, architecture: Architecture) -> Architecture:
        """Note what is proposed; the same architecture in the form that stays in memory."""
        kept = self._choices.of(architecture)
        self._known.add(kept)
        return kept

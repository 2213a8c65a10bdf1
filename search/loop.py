"""The search loop: ask, score, record, tell; and the same again from a recorded history."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from search.limits.measure import Measure
from search.pools.pool import ScoringPool
from search.scoring.tasks import Failure, Item, Race, Result
from search.searchers import Proposal, Searcher
from supernet.candidate import Candidate
from supernet.files import RunFailed, UserError
from supernet.history_file import History
from supernet.rank_correlation import kendall_tau

COUNTED_AGAIN = 500
"""Candidates of a history whose costs are all counted again when it is replayed."""

COUNTED_STEP = 200
"""Of the candidates after those, one in so many is."""


class SearchLoop:
    """Runs a searcher up to a budget, with every candidate recorded in index order.

    What the history already holds is not scored again: it is replayed through the searcher, which
    must propose the very same. `pool` is called when the first candidate has to be scored; it is
    fed with proposals as far as the searcher makes them without the results that are missing.
    """

    def __init__(
        self,
        searcher: Searcher,
        measure: Measure,
        history: History,
        pool: Callable[[], ScoringPool],
        *,
        on_candidate: Callable[[Candidate], None],
        log: Callable[..., None],
        races: bool = False,
    ) -> None:
        """`on_candidate` is called once for each newly recorded one; `log(event, **fields)`.

        With `races` what is scored is a race against the rival that the searcher names.
        """
        self._searcher = searcher
        self._measure = measure
        self._history = history
        self._pool = pool
        self._on_candidate = on_candidate
        self._log = log
        self._races = races
        self._any_scored = any(c.top1 is not None for c in history.candidates)
        self._held: list[Candidate] = []
        self._open: deque[Proposal] = deque()
        """What was proposed and is not told yet, in index order."""
        self._num_told = 0
        self._results: dict[int, Result] = {}
        """The results of some of `_open`, by index: those that overtook an earlier one."""
        self._fresh: list[Candidate] = []
        """What was scored of the present generation, from `_began` on."""
        self._guessed: list[tuple[float, float]] = []
        """The surrogate's guess and the fitness of those that have both."""
        self._began = 0.0

    def run(self, budget: int) -> bool:
        """Go on until `budget` candidates are told; False where the searcher ran dry before.

        Raises:
            UserError: the recorded history is not what the searcher proposes.
            RuntimeError: not one candidate of the first generation could be scored; none is
                recorded.
        """
        items = self._items(budget)
        for recorded in self._history.candidates[:budget]:
            if next(items, None) is None:
                return False
            self._check(self._open[0], recorded)
            self._tell(recorded)
        # The pool is started for a candidate, not to learn that there is none.
        first = list(islice(items, 1))
        if first:
            self._began = time.monotonic()
            for index, result in self._pool().score(chain(first, items)):
                self._take(index, result)
            if self._fresh:
                self._end_generation()
        return self._num_told == budget

    def _items(self, budget: int) -> Iterator[Item | None]:
        """Indices and architectures to score, None while the next one waits for results."""
        index = 0
        while index < budget:
            if self._searcher.is_waiting:
                yield None
                continue
            proposals = self._searcher.ask(budget - index)
            if not proposals:
                return
            self._open.extend(proposals)
            for proposal in proposals:
                one = proposal.architecture
                yield index, Race(one, proposal.rival) if self._races else one
                index += 1

    def _tell(self, candidate: Candidate) -> None:
        self._searcher.tell([candidate])
        self._open.popleft()
        self._num_told += 1

    def _check(self, proposal: Proposal, candidate: Candidate) -> None:
        """Demand that a recorded candidate is the one proposed.

        Raises:
            UserError: it is another, or has other costs.
        """
        found = (candidate.architecture, candidate.generation, candidate.origin)
        wanted = (proposal.architecture, proposal.generation, proposal.origin)
        if found != wanted or not self._counts_the_same(candidate):
            raise UserError(
                f"history {self._history.path}, line {candidate.index + 1}: this program "
                f"proposes or counts {proposal.architecture} ({proposal.origin}) here, the "
                f"history has {candidate.architecture} ({candidate.origin}); it was written "
                f"by another version, or edited"
            )

    def _counts_the_same(self, candidate: Candidate) -> bool:
        """Whether the costs are those recorded; of a long history only some are counted again.

        Counting takes several times as long as all else of a replay.
        """
        if candidate.index >= COUNTED_AGAIN and candidate.index % COUNTED_STEP:
            return True
        return candidate.costs == self._measure(candidate.architecture)

    def _take(self, index: int, result: Result) -> None:
        """Keep a result; record and tell every candidate whose predecessors are all recorded."""
        self._results[index] = result
        while self._num_told in self._results:
            proposal = self._open[0]
            candidate = self._candidate(proposal, self._results.pop(self._num_told))
            self._record(candidate)
            if proposal.guess is not None and candidate.fitness is not None:
                self._guessed.append((proposal.guess, candidate.fitness))
            self._tell(candidate)
            if proposal.ends_generation:
                self._end_generation()

    def _candidate(self, proposal: Proposal, result: Result) -> Candidate:
        found: dict[str, Any]
        if isinstance(result, Failure):
            found = {"top1": None, "failure": result.reason}
        else:
            found = result._asdict()
        return Candidate(
            index=self._num_told,
            architecture=proposal.architecture,
            costs=self._measure(proposal.architecture),
            generation=proposal.generation,
            origin=proposal.origin,
            **found,
        )

    def _record(self, candidate: Candidate) -> None:
        """Append to the history; failures before the first score wait, for all may fail."""
        self._fresh.append(candidate)
        self._any_scored |= candidate.top1 is not None
        self._held.append(candidate)
        if not self._any_scored:
            return
        for held in self._held:
            self._history.append(held)
            self._on_candidate(held)
        self._held = []

    def _end_generation(self) -> None:
        """Make the generation's records last, and log it."""
        if not self._any_scored:
            raise RunFailed(
                f"none of the first {len(self._fresh)} candidates could be scored; "
                f"the first: {self._fresh[0].failure}"
            )
        self._history.sync()
        now = time.monotonic()
        tau = kendall_tau(*zip(*self._guessed, strict=True)) if self._guessed else None
        guessed = {} if tau is None else {"surrogate_tau": round(tau, 4)}
        self._log("generation", **_timing(self._fresh, now - self._began), **guessed)
        self._fresh, self._guessed, self._began = [], [], now


def _timing(candidates: Sequence[Candidate], seconds: float) -> Mapping[str, Any]:
    """What log.jsonl says of one generation, or of the rest of it after a resume."""
    scored = [candidate.top1 for candidate in candidates if candidate.top1 is not None]
    losses = [candidate.loss for candidate in candidates if candidate.loss is not None]
    stopped = sum(candidate.images is not None for candidate in candidates)
    return {
        "generation": candidates[0].generation,
        "candidates": len(candidates),
        "failed": len(candidates) - len(scored),
        **({"stopped_early": stopped} if stopped else {}),
        "best_top1": max(scored, default=None),
        **({"best_loss": min(losses)} if losses else {}),
        "seconds": round(seconds, 3),
        "candidates_per_second": round(len(candidates) / max(seconds, 1e-9), 3),
    }

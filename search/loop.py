"""The search loop: ask, score, record, tell; and the same again from a recorded history."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.candidate import Candidate
from search.history import History
from search.measure import Measure
from search.pool import Failure, ScoringPool
from search.searchers import Proposal, Searcher
from supernet.files import UserError


class SearchLoop:
    """Runs a searcher up to a budget, with every candidate recorded in index order.

    What the history already holds is not scored again: it is replayed through the searcher, which
    must propose the very same. `pool` is called when the first candidate has to be scored.
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
    ) -> None:
        """`on_candidate` is called once for each newly recorded one; `log(event, **fields)`."""
        self._searcher = searcher
        self._measure = measure
        self._history = history
        self._pool = pool
        self._on_candidate = on_candidate
        self._log = log
        self._any_scored = any(c.top1 is not None for c in history.candidates)
        self._held: list[Candidate] = []

    def run(self, budget: int) -> bool:
        """Go on until `budget` candidates are told; False where the searcher ran dry before.

        Raises:
            UserError: the recorded history is not what the searcher proposes.
            RuntimeError: not one candidate of the first batch could be scored; none is recorded.
        """
        done = 0
        while done < budget:
            proposals = self._searcher.ask(budget - done)
            if not proposals:
                return False
            replayed = self._replay(proposals, done)
            fresh = self._score(proposals[len(replayed) :], done + len(replayed))
            self._searcher.tell([*replayed, *fresh])
            done += len(proposals)
        return True

    def _replay(self, proposals: Sequence[Proposal], first: int) -> list[Candidate]:
        """The recorded candidates of these proposals, as far as there are any."""
        recorded = self._history.candidates[first : first + len(proposals)]
        for proposal, candidate in zip(proposals, recorded, strict=False):
            found = (candidate.architecture, candidate.generation, candidate.origin)
            wanted = (proposal.architecture, proposal.generation, proposal.origin)
            if found != wanted or candidate.costs != self._measure(proposal.architecture):
                raise UserError(
                    f"history {self._history.path}, line {candidate.index + 1}: this program "
                    f"proposes or counts {proposal.architecture} ({proposal.origin}) here, the "
                    f"history has {candidate.architecture} ({candidate.origin}); it was written "
                    f"by another version, or edited"
                )
        return recorded

    def _score(self, proposals: Sequence[Proposal], first: int) -> list[Candidate]:
        """Score new proposals; record each as soon as all before it are recorded."""
        if not proposals:
            return []
        pool = self._pool()
        began = time.monotonic()
        results: dict[int, float | Failure] = {}
        fresh: list[Candidate] = []
        items = [(first + k, proposal.architecture) for k, proposal in enumerate(proposals)]
        for index, result in pool.score(items):
            results[index] = result
            while first + len(fresh) in results:
                index = first + len(fresh)
                fresh.append(self._candidate(index, proposals[len(fresh)], results[index]))
                self._record(fresh[-1])
        if not self._any_scored:
            raise RuntimeError(
                f"none of the first {len(fresh)} candidates could be scored; "
                f"the first: {fresh[0].failure}"
            )
        self._history.sync()
        self._log("generation", **_timing(fresh, time.monotonic() - began))
        return fresh

    def _candidate(self, index: int, proposal: Proposal, result: float | Failure) -> Candidate:
        failure = result.reason if isinstance(result, Failure) else None
        return Candidate(
            index=index,
            architecture=proposal.architecture,
            costs=self._measure(proposal.architecture),
            top1=None if isinstance(result, Failure) else result,
            generation=proposal.generation,
            origin=proposal.origin,
            failure=failure,
        )

    def _record(self, candidate: Candidate) -> None:
        """Append to the history; failures before the first score wait, for all may fail."""
        self._any_scored |= candidate.top1 is not None
        self._held.append(candidate)
        if not self._any_scored:
            return
        for held in self._held:
            self._history.append(held)
            self._on_candidate(held)
        self._held = []


def _timing(candidates: Sequence[Candidate], seconds: float) -> Mapping[str, Any]:
    """What log.jsonl says of one generation, or of the rest of it after a resume."""
    scored = [candidate.top1 for candidate in candidates if candidate.top1 is not None]
    return {
        "generation": candidates[0].generation,
        "candidates": len(candidates),
        "failed": len(candidates) - len(scored),
        "best_top1": max(scored, default=None),
        "seconds": round(seconds, 3),
        "candidates_per_second": round(len(candidates) / max(seconds, 1e-9), 3),
    }

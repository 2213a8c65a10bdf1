"""Feeding candidates to Ray actors: the driver owns retries, deadlines and probes.

Ray's own retries leave a search hanging when a node is lost (its restarted actor finds no CPU and
the calls stay pending). Here a candidate whose worker dies is scored again, three times at most,
and a worker that died is probed, ever more rarely, until it can be fed again: as soon as a node
with room is there. Takes the `ray` module; imports none.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.pools.lost_workers import FIRST_PAUSE_S, MAX_REPLACEMENTS, Absence, check_alive
from search.pools.pool import ATTEMPTS, WAITS_FOR_NOTHING, out_of_tries
from search.pools.work_queue import Supply
from search.scoring.tasks import MAX_REASON, Failure, Item, OutOfMemory, Result

IN_FLIGHT = 2
"""Calls given to a worker at once, so that it never waits for the driver."""


@dataclass(eq=False)
class _Call:
    """A call given to a worker: of a batch of candidates, or a probe where there is none."""

    ref: Any
    worker: _Worker
    items: list[Item]
    running_since: float
    is_killed: bool = False


@dataclass(eq=False)
class _Worker:
    """One actor and its unanswered calls, the one that runs first.

    `num_replaced`: actors that took the place of one dead for good, since the worker's last score.
    """

    actor: Any
    calls: deque[_Call] = field(default_factory=deque)
    absence: Absence | None = None
    num_replaced: int = 0

    @property
    def is_ready(self) -> bool:
        """Is not lost: may be fed."""
        return self.absence is None


class Dispatcher:
    """Scores on started `actors`; their `score(tasks)` gives None if not started again.

    `start(actor)` calls an actor to make its scorer, and gives a reference to None where it did.
    A call gets up to `batch` candidates; one longer than `timeout_s` seconds for each of them is
    killed and counts as a death of its worker, as is a start longer than `start_timeout_s`. A lost
    worker is never given up while another is alive; an actor that Ray restarts no more gives way
    to one of `make()`.
    """

    def __init__(
        self,
        ray: Any,
        actors: Sequence[Any],
        make: Callable[[], Any],
        start: Callable[[Any], Any],
        timeout_s: float | None,
        start_timeout_s: float,
        batch: int = 1,
    ) -> None:
        self._ray = ray
        self._make = make
        self._start = start
        self._workers = [_Worker(actor) for actor in actors]
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._batch = batch
        self._attempts: dict[int, int] = {}

    def score(self, items: Iterable[Item | None]) -> Iterator[tuple[int, Result]]:
        """Yield each item's result once, in the order of completion; `items` as of ScoringPool.

        Raises:
            RuntimeError: no worker was alive for `start_timeout_s`.
        """
        supply = Supply(items, self._batch, len(self._workers))
        while True:
            in_flight = any(call.items for worker in self._workers for call in worker.calls)
            if not in_flight and supply.is_empty:
                assert supply.is_over, WAITS_FOR_NOTHING
                return
            self._feed(supply)
            for call in self._wait():
                yield from self._settle(call, supply)

    def _feed(self, supply: Supply) -> None:
        """Give waiting candidates to ready workers, the emptiest first; probe lost workers."""
        now = time.monotonic()
        for depth in range(IN_FLIGHT):
            for worker in self._workers:
                if len(worker.calls) != depth or supply.is_empty:
                    continue
                if self._may_take(worker, supply.next_lost):
                    items = supply.take()
                    ref = worker.actor.score.remote([task for _, task in items])
                    worker.calls.append(_Call(ref, worker, items, now))
        for worker in list(self._workers):
            absence = worker.absence
            if absence and not worker.calls and absence.probe_at and absence.probe_at <= now:
                self._probe(worker, absence, now)

    def _may_take(self, worker: _Worker, lost: int | None) -> bool:
        """A candidate whose worker died runs alone on its next one, so that blame is certain.

        Of two calls of a dead worker either can be guilty: the first one's answer may have been
        lost with the process that the second one killed.
        """
        others = [index for call in worker.calls for index, _ in call.items]
        has_suspect = any(self._attempts.get(one, 0) for one in (*others, lost) if one is not None)
        return worker.is_ready and not (others and has_suspect)

    def _wait(self) -> list[_Call]:
        """The calls that came back, maybe none yet; those past their deadline are killed."""
        calls = {call.ref: call for worker in self._workers for call in worker.calls}
        now = time.monotonic()
        lost = [worker.absence for worker in self._workers if worker.absence is not None]
        check_alive(lost, len(self._workers), self._start_timeout_s, now)
        if not calls:
            time.sleep(FIRST_PAUSE_S / 4)
            return []
        patience = 1.0 if all(worker.is_ready for worker in self._workers) else FIRST_PAUSE_S
        if self._timeout_s is not None:
            patience = min(patience, self._timeout_s / 4)
        done, _ = self._ray.wait(list(calls), num_returns=1, timeout=patience)
        more = self._ray.wait(list(calls), num_returns=len(calls), timeout=0)[0] if done else []
        back = set(more)
        for worker in self._workers:
            # What came back while the driver was away is not late.
            if worker.calls and worker.calls[0].ref not in back:
                self._kill_late(worker.calls[0], now)
        # In the order of submission, so that of a dead worker's calls the running one comes first.
        return [call for ref, call in calls.items() if ref in back and call in call.worker.calls]

    def _kill_late(self, call: _Call, now: float) -> None:
        limit_s = self._timeout_s and self._timeout_s * len(call.items)
        if not call.items:
            limit_s = self._start_timeout_s
        if limit_s is not None and not call.is_killed and now - call.running_since > limit_s:
            call.is_killed = True
            self._ray.kill(call.worker.actor, no_restart=False)

    def _settle(self, call: _Call, supply: Supply) -> Iterator[tuple[int, Result]]:
        """A finished call's results; none of a probe and of candidates that were given back."""
        worker = call.worker
        is_oldest = worker.calls[0] is call
        worker.calls.remove(call)
        if worker.calls and is_oldest:
            worker.calls[0].running_since = time.monotonic()
        try:
            answer = self._ray.get(call.ref)
        except self._ray.exceptions.RayTaskError as error:
            # score_batch catches what scoring raises; this is the call itself that failed.
            failure = Failure(" ".join(str(error.cause or error).split())[:MAX_REASON])
            answer = [failure] * len(call.items) if call.items else failure
        except self._ray.exceptions.RayError as error:
            self._lose(call, error)
            yield from self._retry(call.items, supply, attempts=1)
            return
        if not call.items:
            self._welcome(worker, answer)
        elif answer is None:
            self._lose(call, None)
            yield from self._retry(call.items, supply, attempts=0)
        else:
            worker.num_replaced = 0
            found = list(zip(call.items, answer, strict=True))
            yield from ((i, one) for (i, _), one in found if not isinstance(one, OutOfMemory))
            short = [item for item, one in found if isinstance(one, OutOfMemory)]
            yield from self._retry(short, supply, attempts=1)

    def _retry(
        self, items: Sequence[Item], supply: Supply, attempts: int
    ) -> Iterator[tuple[int, Failure]]:
        """Give candidates back, or give up those whose attempts are used up.

        All that a dead worker had are suspects, and are scored alone.
        """
        again = []
        for index, task in items:
            self._attempts[index] = self._attempts.get(index, 0) + attempts
            if self._attempts[index] < ATTEMPTS:
                again.append((index, task))
            else:
                yield index, out_of_tries()
        supply.give_back(again)

    def _lose(self, call: _Call, error: Exception | None) -> None:
        """Have the worker of a call that was lost probed; Ray says where it is dead for good."""
        worker, now = call.worker, time.monotonic()
        worker.absence = worker.absence or Absence(now)
        worker.absence.is_for_good |= isinstance(error, self._ray.exceptions.ActorDiedError)
        worker.absence.probe_later(now, is_probed=not call.items)

    def _welcome(self, worker: _Worker, problem: Any) -> None:
        """A probe was answered: feed its worker, or probe again where it made no scorer."""
        absence, now = worker.absence, time.monotonic()
        assert absence is not None
        if problem is None:
            absence.tell_back(now)
            worker.absence = None
            return
        absence.problem = problem.reason if isinstance(problem, Failure) else problem[1]
        absence.probe_later(now, is_probed=True)

    def _probe(self, worker: _Worker, absence: Absence, now: float) -> None:
        """Have a lost worker make its scorer; a new actor takes the place of one dead for good."""
        absence.probe_at = None
        if absence.is_for_good:
            self._ray.kill(worker.actor, no_restart=True)
            if worker.num_replaced == MAX_REPLACEMENTS:
                self._workers.remove(worker)
                return
            worker.actor, absence.is_for_good = self._make(), False
            worker.num_replaced += 1
        worker.calls.append(_Call(self._start(worker.actor), worker, [], now))

"""Feeding candidates to Ray actors: the driver owns retries, deadlines and probes.

Ray's own retries leave a search hanging when a node is lost (its restarted actor finds no CPU and
the calls stay pending). Here a candidate whose worker dies is scored again, three times at most,
and a worker that died is probed before it is fed again. Takes the `ray` module; imports none.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.pool import WAITS_FOR_NOTHING
from search.supply import Supply
from search.tasks import MAX_REASON, Failure, Item, Result

IN_FLIGHT = 2
"""Calls given to a worker at once, so that it never waits for the driver."""

ATTEMPTS = 3
"""Deaths of a worker under one candidate before the candidate is given up."""

PROBE_PAUSE_S = 0.2
"""Between two probes of a worker that restarts."""


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

    A worker that is not ready has died at `lost_at` and is probed at `probe_at`.
    """

    actor: Any
    is_ready: bool = True
    calls: deque[_Call] = field(default_factory=deque)
    probe_at: float | None = None
    lost_at: float = 0.0


class Dispatcher:
    """Scores on started `actors`; their `score(tasks)` gives None if not started again.

    `start(actor)` calls an actor to make its scorer, and gives a reference to None where it did.
    A call gets up to `batch` candidates. One longer than `timeout_s` seconds for each of them is
    killed and counts as a death of its worker; a worker that is not back `start_timeout_s` after
    it died is given up.
    """

    def __init__(
        self,
        ray: Any,
        actors: Sequence[Any],
        start: Callable[[Any], Any],
        timeout_s: float | None,
        start_timeout_s: float,
        batch: int = 1,
    ) -> None:
        self._ray = ray
        self._start = start
        self._workers = [_Worker(actor) for actor in actors]
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._batch = batch
        self._attempts: dict[int, int] = {}

    def score(self, items: Iterable[Item | None]) -> Iterator[tuple[int, Result]]:
        """Yield each item's result once, in the order of completion; `items` as of ScoringPool.

        Raises:
            RuntimeError: no worker is left.
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
        for worker in self._workers:
            if not worker.calls and worker.probe_at is not None and worker.probe_at <= now:
                worker.probe_at = None
                worker.calls.append(_Call(self._start(worker.actor), worker, [], now))

    def _may_take(self, worker: _Worker, lost: int | None) -> bool:
        """A candidate whose worker died runs alone on its next one, so that blame is certain.

        Of two calls of a dead worker either can be guilty: the first one's answer may have been
        lost with the process that the second one killed.
        """
        others = [index for call in worker.calls for index, _ in call.items]
        has_suspect = any(self._attempts.get(one, 0) for one in (*others, lost) if one is not None)
        return worker.is_ready and not (others and has_suspect)

    def _wait(self) -> list[_Call]:
        """The calls that came back, after killing those past their deadline; may be none yet."""
        calls = {call.ref: call for worker in self._workers for call in worker.calls}
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.is_ready:
                self._kill_late(worker, now)
            elif now - worker.lost_at > self._start_timeout_s:
                self._give_up(worker)
        if not self._workers:
            raise RuntimeError(
                f"no worker is left: none came back {self._start_timeout_s:g} s after its death; "
                f"the same command resumes the search"
            )
        if not calls:
            time.sleep(PROBE_PAUSE_S / 4)
            return []
        patience = 1.0 if all(worker.is_ready for worker in self._workers) else PROBE_PAUSE_S
        if self._timeout_s is not None:
            patience = min(patience, self._timeout_s / 4)
        done, _ = self._ray.wait(list(calls), num_returns=1, timeout=patience)
        more = self._ray.wait(list(calls), num_returns=len(calls), timeout=0)[0] if done else []
        # In the order of submission, so that of a dead worker's calls the running one comes first.
        back = set(more)
        return [call for ref, call in calls.items() if ref in back and call in call.worker.calls]

    def _kill_late(self, worker: _Worker, now: float) -> None:
        if self._timeout_s is None or not worker.calls:
            return
        call = worker.calls[0]
        allowed = self._timeout_s * max(1, len(call.items))
        if not call.is_killed and now - call.running_since > allowed:
            call.is_killed = True
            self._ray.kill(worker.actor, no_restart=False)

    def _settle(self, call: _Call, supply: Supply) -> Iterator[tuple[int, Result]]:
        """A finished call's results; none of a probe and of candidates that were given back."""
        worker = call.worker
        is_oldest = worker.calls[0] is call
        worker.calls.remove(call)
        if worker.calls and is_oldest:
            worker.calls[0].running_since = time.monotonic()
        try:
            values = self._ray.get(call.ref)
        except self._ray.exceptions.RayTaskError as error:
            # score_batch catches what scoring raises; this is the call itself that failed.
            reason = " ".join(str(error.cause or error).split())[:MAX_REASON]
            values = [Failure(reason)] * len(call.items)
        except self._ray.exceptions.RayError:
            yield from self._retry(call, supply, was_lost=True)
            return
        if not call.items:
            worker.is_ready = values is None
            worker.probe_at = None if worker.is_ready else self._next_probe()
        elif values is None:
            yield from self._retry(call, supply, was_lost=False)
        else:
            yield from (
                (index, value) for (index, _), value in zip(call.items, values, strict=True)
            )

    def _retry(self, call: _Call, supply: Supply, was_lost: bool) -> Iterator[tuple[int, Failure]]:
        """Give a dead worker's candidates back; those that were lost with it are suspects."""
        worker = call.worker
        if worker.is_ready:
            worker.is_ready, worker.lost_at = False, time.monotonic()
        worker.probe_at = self._next_probe()
        again = []
        for index, task in call.items:
            self._attempts[index] = self._attempts.get(index, 0) + was_lost
            if self._attempts[index] < ATTEMPTS:
                again.append((index, task))
            else:
                late = f" or was killed after {self._timeout_s:g} s" if self._timeout_s else ""
                yield index, Failure(f"its worker died{late}, {ATTEMPTS} times")
        supply.give_back(again)

    def _next_probe(self) -> float:
        return time.monotonic() + PROBE_PAUSE_S

    def _give_up(self, worker: _Worker) -> None:
        """Drop a worker that does not come back, so that the others carry on."""
        self._workers.remove(worker)
        self._ray.kill(worker.actor, no_restart=True)

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

from search.pool import MAX_REASON, WAITS_FOR_NOTHING, Failure, Item

IN_FLIGHT = 2
"""Calls given to a worker at once, so that it never waits for the driver."""

ATTEMPTS = 3
"""Deaths of a worker under one candidate before the candidate is given up."""

PROBE_PAUSE_S = 0.2
"""Between two probes of a worker that restarts."""


@dataclass(eq=False)
class _Call:
    """A call given to a worker: of a candidate, or a probe where `item` is None."""

    ref: Any
    worker: _Worker
    item: Item | None
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


class _Supply:
    """What is to be scored: first what was lost and is scored again, then new items one by one.

    `is_over` once the iterator has ended.
    """

    def __init__(self, items: Iterable[Item | None]) -> None:
        self._new = iter(items)
        self._waiting: deque[Item] = deque()
        self.is_over = False

    def next(self) -> Item | None:
        """The next item, which stays until it is taken; None where there is none at present."""
        if not self._waiting and not self.is_over:
            try:
                item = next(self._new)
            except StopIteration:
                self.is_over = True
            else:
                self._waiting.extend([item] if item is not None else [])
        return self._waiting[0] if self._waiting else None

    def take(self) -> None:
        """Take what `next` gave."""
        self._waiting.popleft()

    def give_back(self, item: Item) -> None:
        """Have an item scored again."""
        self._waiting.appendleft(item)


class Dispatcher:
    """Scores on started `actors`; their `score(architecture)` gives None if not started again.

    `start(actor)` calls an actor to make its scorer, and gives a reference to None where it did.
    A call longer than `timeout_s` seconds is killed and counts as a death of its worker; a worker
    that is not back `start_timeout_s` after it died is given up.
    """

    def __init__(
        self,
        ray: Any,
        actors: Sequence[Any],
        start: Callable[[Any], Any],
        timeout_s: float | None,
        start_timeout_s: float,
    ) -> None:
        self._ray = ray
        self._start = start
        self._workers = [_Worker(actor) for actor in actors]
        self._timeout_s = timeout_s
        self._start_timeout_s = start_timeout_s
        self._attempts: dict[int, int] = {}

    def score(self, items: Iterable[Item | None]) -> Iterator[tuple[int, float | Failure]]:
        """Yield each item's result once, in the order of completion; `items` as of ScoringPool.

        Raises:
            RuntimeError: no worker is left.
        """
        supply = _Supply(items)
        while True:
            in_flight = any(call.item for worker in self._workers for call in worker.calls)
            if supply.next() is None and not in_flight:
                assert supply.is_over, WAITS_FOR_NOTHING
                return
            self._feed(supply)
            for call in self._wait():
                result = self._settle(call, supply)
                if result is not None:
                    yield result

    def _feed(self, supply: _Supply) -> None:
        """Give waiting candidates to ready workers, the emptiest first; probe lost workers."""
        now = time.monotonic()
        for depth in range(IN_FLIGHT):
            for worker in self._workers:
                if len(worker.calls) != depth or (item := supply.next()) is None:
                    continue
                if self._may_take(worker, item[0]):
                    supply.take()
                    ref = worker.actor.score.remote(item[1])
                    worker.calls.append(_Call(ref, worker, item, now))
        for worker in self._workers:
            if not worker.calls and worker.probe_at is not None and worker.probe_at <= now:
                worker.probe_at = None
                worker.calls.append(_Call(self._start(worker.actor), worker, None, now))

    def _may_take(self, worker: _Worker, index: int) -> bool:
        """A candidate whose worker died runs alone on its next one, so that blame is certain.

        Of two calls of a dead worker either can be guilty: the first one's answer may have been
        lost with the process that the second one killed.
        """
        others = [call.item[0] for call in worker.calls if call.item is not None]
        has_suspect = any(self._attempts.get(other, 0) for other in (*others, index))
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
        if not call.is_killed and now - call.running_since > self._timeout_s:
            call.is_killed = True
            self._ray.kill(worker.actor, no_restart=False)

    def _settle(self, call: _Call, supply: _Supply) -> tuple[int, float | Failure] | None:
        """A finished call's result; None for a probe and for a candidate that was given back."""
        worker = call.worker
        is_oldest = worker.calls[0] is call
        worker.calls.remove(call)
        if worker.calls and is_oldest:
            worker.calls[0].running_since = time.monotonic()
        try:
            value = self._ray.get(call.ref)
        except self._ray.exceptions.RayTaskError as error:
            # score_one catches what scoring raises; this is the call itself that failed.
            value = Failure(" ".join(str(error.cause or error).split())[:MAX_REASON])
        except self._ray.exceptions.RayError:
            return self._retry(call, supply, was_lost=True)
        if call.item is None:
            worker.is_ready = value is None
            worker.probe_at = None if worker.is_ready else self._next_probe()
            return None
        if value is None:
            return self._retry(call, supply, was_lost=False)
        return call.item[0], value

    def _retry(self, call: _Call, supply: _Supply, was_lost: bool) -> tuple[int, Failure] | None:
        """Give a dead worker's candidate back; one that was lost with its worker is a suspect."""
        worker = call.worker
        if worker.is_ready:
            worker.is_ready, worker.lost_at = False, time.monotonic()
        worker.probe_at = self._next_probe()
        if call.item is None:
            return None
        index, _ = call.item
        self._attempts[index] = self._attempts.get(index, 0) + was_lost
        if self._attempts[index] < ATTEMPTS:
            supply.give_back(call.item)
            return None
        late = f" or was killed after {self._timeout_s:g} s" if self._timeout_s else ""
        return index, Failure(f"its worker died{late}, {ATTEMPTS} times")

    def _next_probe(self) -> float:
        return time.monotonic() + PROBE_PAUSE_S

    def _give_up(self, worker: _Worker) -> None:
        """Drop a worker that does not come back, so that the others carry on."""
        self._workers.remove(worker)
        self._ray.kill(worker.actor, no_restart=True)

"""A scoring pool of Ray actors, here or on a cluster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from search.pools.dispatch import Dispatcher
from search.pools.pool import ScoringPool
from search.pools.ray_cluster import joined
from search.pools.shared_arrays import share
from search.scoring.tasks import Arrays, Item, Result, ScorerFactory
from supernet.files import UserError
from training.processes.ray_session import connected

MAX_RESTARTS = 30
"""Restarts of one actor before Ray leaves it dead, and another takes its place."""

FAREWELL_S = 5.0
"""For the workers to remove what they copied to their nodes; one that scores does not answer."""


class RayPool(ScoringPool):
    """Scores on `workers` Ray actors with `threads` torch threads (and CPUs) each.

    Each call gives an actor up to `batch` candidates.
    `address` is a cluster to join; None starts a private Ray on this machine, bound to the
    loopback interface. A call longer than `timeout_s` seconds is killed and counts as a death.
    With `use_gpu` the cluster's GPUs are shared evenly among the workers. `arrays_at`: a folder
    (path or URL) that all nodes reach, through which they get the arrays; None: Ray's object store.
    """

    def __init__(
        self,
        factory: ScorerFactory,
        arrays: Arrays,
        workers: int,
        threads: int = 1,
        address: str | None = None,
        timeout_s: float | None = None,
        *,
        batch: int = 1,
        use_gpu: bool = False,
        start_timeout_s: float = 120.0,
        arrays_at: str | None = None,
    ) -> None:
        if workers < 1:
            raise UserError(f"workers is {workers}, expected 1 or more")
        self._factory = factory
        self._arrays = arrays
        self._num_workers = workers
        self._threads = threads
        self._address = address
        self._timeout_s = timeout_s
        self._batch = batch
        self._use_gpu = use_gpu
        self._start_timeout_s = start_timeout_s
        self._arrays_at = arrays_at
        self._actors: list[Any] = []

    def __enter__(self) -> Self:
        """Start or join Ray, then the workers; wait until all have made their scorer."""
        with ExitStack() as stack:
            # Before Ray starts: a place that cannot be written is refused at once.
            shared = share(self._arrays, self._arrays_at) if self._arrays_at else None
            num_bytes = 0 if shared else sum(array.nbytes for array in self._arrays.values())
            self._ray = stack.enter_context(joined(self._address, num_bytes))
            options = self._actor_options()
            # Kept for the whole search: a restarted worker fetches them again.
            self._shared = [shared or self._ray.put(dict(self._arrays))]
            factory = self._ray.cloudpickle.dumps(self._factory)
            actor_class = self._ray.remote(**options)(_scoring_actor())

            stack.callback(self._stop_workers)

            def make() -> Any:
                self._actors.append(actor_class.remote(self._threads, sys.path))
                return self._actors[-1]

            def start(actor: Any) -> Any:
                """Not in the constructor: Ray may lose its arguments (ray-project/ray #53727)."""
                return actor.start.remote(factory, self._shared)

            actors = [make() for _ in range(self._num_workers)]
            self._await_start([start(actor) for actor in actors])
            self._dispatcher = Dispatcher(
                self._ray,
                actors,
                make,
                start,
                self._timeout_s,
                self._start_timeout_s,
                self._batch,
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill the workers; stop Ray where this pool started it."""
        self._stack.close()

    def _stop_workers(self) -> None:
        """Kill the workers, after they removed what they copied to their nodes."""
        if self._arrays_at:
            answers = [actor.leave.remote() for actor in self._actors]
            self._ray.wait(answers, num_returns=len(answers), timeout=FAREWELL_S)
        for actor in self._actors:
            self._ray.kill(actor, no_restart=True)
        self._actors.clear()

    def _actor_options(self) -> dict[str, Any]:
        """CPUs and GPUs of one worker; refuses what the cluster does not have at all."""
        offered = self._ray.cluster_resources()
        cpus, gpus = int(offered.get("CPU", 0)), int(offered.get("GPU", 0))
        if self._num_workers * self._threads > cpus:
            raise UserError(
                f"asked for {self._num_workers} workers of {self._threads} CPUs each, "
                f"the cluster offers {cpus} CPUs; lower search.workers or search.scoring.threads"
            )
        options: dict[str, Any] = {
            "num_cpus": self._threads,
            "max_restarts": MAX_RESTARTS,
            "max_task_retries": 0,
        }
        if self._use_gpu:
            if gpus == 0:
                raise UserError("asked for workers on a GPU, the cluster offers none")
            # -(-a // b) workers share one GPU.
            options["num_gpus"] = 1 / -(-self._num_workers // gpus)
        return options

    def _await_start(self, started: Sequence[Any]) -> None:
        """Wait until every worker has made its scorer, within the deadline.

        Raises:
            UserError: some workers found no room; or the factory's own UserError.
            RuntimeError: the factory raised anything else, or a worker died.
        """
        ready, waiting = self._ray.wait(
            started, num_returns=len(started), timeout=self._start_timeout_s
        )
        for answer in ready:
            self._check_start(answer)
        if waiting:
            free = self._ray.available_resources().get("CPU", 0)
            raise UserError(
                f"asked for {self._num_workers} workers, the cluster offers {len(ready)}: the "
                f"others did not start in {self._start_timeout_s:g} s ({free:g} CPUs are free)"
            )

    def _check_start(self, answer: Any) -> None:
        try:
            problem = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            raise RuntimeError(f"a worker died while it started: {error}") from error
        if problem is not None:
            is_users, text = problem
            raise UserError(text) if is_users else RuntimeError(f"no scorer in a worker: {text}")

    def score(self, items: Iterable[Item | None]) -> Iterator[tuple[int, Result]]:
        """Score in parallel, in the order of completion."""
        return self._dispatcher.score(items)


def check_start() -> str:
    """Start a private Ray, run one task, stop it; says what was found (for `evobit doctor`).

    Raises:
        Exception: what Ray raised.
    """
    began = time.monotonic()
    with connected(None, 0) as ray:
        assert ray.get(ray.remote(lambda: 42).remote(), timeout=60) == 42
        cpus = int(ray.cluster_resources().get("CPU", 0))
    return f"{ray.__version__}, {cpus} CPUs, {time.monotonic() - began:.1f} s to start and stop"


def _scoring_actor() -> type:
    """The actor's class, made here so that Ray ships it by value.

    By reference, a worker would import this file before it knows the driver's import paths.
    """

    class ScoringActor:
        """Makes one scorer and keeps it."""

        def __init__(self, threads: int, paths: list[str]) -> None:
            sys.path.extend(path for path in paths if path not in sys.path)
            os.environ["OMP_NUM_THREADS"] = str(threads)
            self.threads = threads
            self.scorer: Any = None
            self.shared: Any = None

        def start(self, factory: bytes, shared: list[Any]) -> tuple[bool, str] | None:
            """Make the scorer; None where that went well, else (is it a UserError, text)."""
            from ray import cloudpickle, get

            from search.pools.pool import set_torch_threads
            from search.pools.shared_arrays import SharedArrays
            from supernet.files import UserError

            try:
                make = cloudpickle.loads(factory)
                set_torch_threads(self.threads)
                if isinstance(shared[0], SharedArrays):
                    self.shared = shared[0]
                    arrays = self.shared.open(self.folder())
                else:
                    arrays = get(shared[0])
                self.scorer = make(arrays)
                set_torch_threads(self.threads)
            except UserError as error:
                return True, str(error)
            except Exception as error:
                return False, f"{type(error).__name__}: {error}"
            return None

        def score(self, tasks: list[Any]) -> list[Any] | None:
            """The result of each task; None where this process is not started yet."""
            from search.scoring.tasks import score_batch

            if self.scorer is None:
                return None
            results = dict(score_batch(self.scorer, tasks))
            return [results[place] for place in range(len(tasks))]

        def leave(self) -> None:
            """Remove this node's copy of the arrays."""
            if self.shared is not None:
                self.shared.remove(self.folder())

        def folder(self) -> Path:
            from ray import get_runtime_context

            from search.pools.shared_arrays import node_folder

            return node_folder(get_runtime_context().get_node_id())

    return ScoringActor

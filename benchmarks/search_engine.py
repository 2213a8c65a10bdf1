"""What a search costs beside scoring: ask and tell, the history in memory, a resume, the Ray pool.

Scores are looked up in tables. Times are wall clock and this process's CPU seconds.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import memory_kib, write_result
from search.limits.measure import CostMeter
from search.limits.sampling import FeasibleSampler
from search.loop import SearchLoop
from search.objectives import GrowingFront, Objectives
from search.pools.pool import ScoringPool, SerialPool
from search.pools.ray_pool import RayPool
from search.searchers import SEARCHERS, Searcher, SearcherConfig
from supernet.architecture import Architecture
from supernet.candidate import Candidate
from supernet.history_file import History
from supernet.space import SearchSpace
from supernet.spaces.mobilenet_groups import MobileNetGroups

SEARCHER_NAMES = ("evolution", "regularized")
LAG = 16
STEP = 10_000
HALF = 6
"""Positions of the first table; the second one has the other 7 of 13."""


class Tables:
    """Top-1 of an architecture: one table's entry for its first choices and one for the rest.

    4^6 and 4^7 entries, where one table for all would have 4^13 = 67 million. Fills as asked.
    """

    def __init__(self) -> None:
        self.rng = Random(0)
        self.entries: dict[object, float] = {}

    def __call__(self, architecture: Architecture) -> float:
        choices = architecture.choices
        return self._entry(choices[:HALF]) + self._entry(choices[HALF:])

    def _entry(self, key: object) -> float:
        if key not in self.entries:
            self.entries[key] = self.rng.uniform(0, 50)
        return self.entries[key]


@contextmanager
def clock(seconds: dict[str, float]) -> Iterator[None]:
    """Put wall and CPU seconds of the block into `seconds`."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    seconds["wall_s"] = round(time.perf_counter() - wall, 3)
    seconds["cpu_s"] = round(time.process_time() - cpu, 3)


def make_searcher(space: SearchSpace, measure: CostMeter, name: str, lag: int | None) -> Searcher:
    sampler = FeasibleSampler(space, measure, (), space.first())
    return SEARCHERS[name](sampler, SearcherConfig(lag=lag), Random(0))


def ask_and_tell(space: SearchSpace, name: str, count: int) -> None:
    """A searcher used directly in whole generations: no limits, costs, file or pool."""
    searcher, top1, done = make_searcher(space, CostMeter(space), name, None), Tables(), 0
    while done < count:
        proposals = searcher.ask(count - done)
        searcher.tell(
            [
                Candidate(
                    done + k,
                    one.architecture,
                    {},
                    top1(one.architecture),
                    one.generation,
                    one.origin,
                )
                for k, one in enumerate(proposals)
            ]
        )
        done += len(proposals)


def through_the_loop(
    space: SearchSpace,
    path: Path,
    count: int,
    pool: Callable[[], ScoringPool],
    on_candidate: Callable[[Candidate], None] = lambda candidate: None,
) -> None:
    """Regularized evolution with costs and a history file, as `evobit search` runs it."""
    measure = CostMeter(space)
    with History(path, space) as history:
        loop = SearchLoop(
            make_searcher(space, measure, "regularized", LAG),
            measure,
            history,
            pool,
            on_candidate=on_candidate,
            log=lambda event, **fields: None,
        )
        loop.run(count)


def memory(space: SearchSpace, path: Path, count: int) -> dict[str, object]:
    """Time of `count` candidates in this process, and its memory after each 10,000."""
    resident: list[int] = []
    seconds: dict[str, float] = {}

    def on_candidate(candidate: Candidate) -> None:
        if (candidate.index + 1) % STEP == 0:
            resident.append(memory_kib("VmRSS"))

    with SerialPool(lambda arrays: Tables(), {}) as pool, clock(seconds):
        through_the_loop(space, path, count, lambda: pool, on_candidate)
    grown = (resident[-1] - resident[0]) * 1024 / max(1, count - STEP)
    return {**seconds, "resident_kib": resident, "bytes_an_entry": round(grown)}


def with_a_front(space: SearchSpace, path: Path, count: int) -> dict[str, float]:
    """CPU milliseconds a candidate of NSGA-II, its front's volume logged: first and last tenth."""
    measure = CostMeter(space)
    front = GrowingFront(Objectives({"ops": measure(space.largest())["ops"]}))
    times: list[float] = []
    with History(path, space) as history, SerialPool(lambda arrays: Tables(), {}) as pool:

        def log(event: str, **fields: object) -> None:
            front.hypervolume(history.candidates)

        loop = SearchLoop(
            make_searcher(space, measure, "nsga2", None),
            measure,
            history,
            lambda: pool,
            on_candidate=lambda candidate: times.append(time.process_time()),
            log=log,
        )
        loop.run(count)
    tenth = len(times) // 10
    found = {"first": times[tenth] - times[0], "last": times[-1] - times[-1 - tenth]}
    return {f"{name}_tenth_ms_a_candidate": round(s / tenth * 1000, 3) for name, s in found.items()}


def resume(space: SearchSpace, path: Path, count: int) -> dict[str, float]:
    """Seconds to read and replay a finished history; nothing is scored."""
    seconds: dict[str, float] = {}

    def no_pool() -> ScoringPool:
        raise AssertionError("nothing is left to score")

    with clock(seconds):
        through_the_loop(space, path, count, no_pool)
    return seconds


def ray_overhead(space: SearchSpace, path: Path, count: int, workers: int) -> dict[str, float]:
    """Milliseconds a candidate with a scorer that does nothing: the pool alone, and the loop."""
    rng, results = Random(0), {}
    items = list(enumerate(space.sample(rng) for _ in range(count)))
    with RayPool(lambda arrays: lambda architecture: 1.0, {}, workers) as pool:
        list(islice(pool.score(items[:50]), 50))
        runs = {
            "pool": lambda: list(pool.score(items)),
            "loop": lambda: through_the_loop(space, path, count, lambda: pool),
        }
        for name, run in runs.items():
            seconds: dict[str, float] = {}
            with clock(seconds):
                run()
            for kind in ("wall", "cpu"):
                results[f"{name}_{kind}_ms_a_candidate"] = seconds[f"{kind}_s"] / count * 1000
    return {name: round(value, 3) for name, value in results.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--asked", type=int, default=1_000_000, help="candidates, ask and tell")
    parser.add_argument("--entries", type=int, default=100_000, help="candidates in the history")
    parser.add_argument("--ray", type=int, default=2_000, help="candidates through Ray")
    parser.add_argument("--front", type=int, default=20_000, help="candidates of NSGA-II")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    space = MobileNetGroups(width=0.25, stem_stride=1, groups=(1, 2, 4, 8))
    result: dict[str, object] = {"architectures": space.size, "lag": LAG}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.entries:
            path = Path(folder) / "history.jsonl"
            result["entries"] = arguments.entries
            result["loop"] = memory(space, path, arguments.entries)
            result["history_bytes"] = path.stat().st_size
            result["resume"] = resume(space, path, arguments.entries)
        if arguments.asked:
            result["asked"] = arguments.asked
            for name in SEARCHER_NAMES:
                seconds: dict[str, float] = {}
                with clock(seconds):
                    ask_and_tell(space, name, arguments.asked)
                result[name] = seconds
        if arguments.front:
            result["front"] = with_a_front(space, Path(folder) / "front.jsonl", arguments.front)
        if arguments.ray:
            ray = Path(folder) / "ray.jsonl"
            result["ray"] = ray_overhead(space, ray, arguments.ray, arguments.workers)
    write_result("search_engine", result)


if __name__ == "__main__":
    main()

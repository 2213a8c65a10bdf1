"""Candidates a second of the whole protocol, each way of scoring alone and all together.

The other side is a straightforward loop, as one would write it first: for each candidate a fresh
network and fresh loaders, statistics by momentum, float convolutions, all of the search split.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.measuring import in_turns, ratio, write_result
from benchmarks.scoring_engines import alike
from search.config import SearchConfig, SearchStage
from search.pools.pool import ScoringPool, SerialPool
from search.pools.ray_pool import RayPool
from search.run import run_search, scorer_of
from search.scoring.packed_scorer import kernels_in_use
from search.scoring.racing import Leaders, RacingConfig
from search.scoring.tasks import Race, Score
from supernet.architecture import Architecture
from supernet.candidate import Candidate, best
from supernet.history_file import read_history
from supernet.spaces import space_from_description
from training.data import DataConfig
from training.run_files.folder import read_config
from training.scoring.scorer import Scorer, scoring_arrays

RACING = RacingConfig()
ALONE: dict[str, dict[str, Any]] = {
    "torch": {},
    "torch, racing": {"racing": RACING},
    "torch, shared prefixes": {"batch": 50},
    "packed": {"engine": "packed"},
    "packed, racing": {"engine": "packed", "racing": RACING},
    "packed, shared prefixes": {"engine": "packed", "batch": 50},
    "all": {"engine": "packed", "racing": RACING, "batch": 50},
}
LOOP_BATCH = 32
"""1,024 images are 32 steps of momentum 0.1: 0.9^32 = 3 % of the first statistics are left."""

PLAIN, ALL, LOOP, WORKERS = "packed", "all", "loop", "all, Ray workers"


class StraightforwardLoop(Scorer):
    """Scores as a first script would, on all cores."""

    def score(self, architecture: Architecture, *_: object) -> float:
        network = self.supernet.extract(architecture)
        calibrate(network, self.loader(self._calibration, LOOP_BATCH))
        network.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in self.loader(self._images, self.config.batch_size, self._labels):
                correct += int((network(images).argmax(1) == labels).sum())
        return 100.0 * correct / len(self._labels)

    def loader(self, images: Tensor, batch: int, labels: Tensor | None = None) -> DataLoader:
        pixels = self._seen.apply(images)
        labels = torch.zeros(len(images)) if labels is None else labels
        return DataLoader(TensorDataset(pixels, labels), batch)


def calibrate(network: nn.Module, loader: DataLoader) -> None:
    """The usual recipe: reset the statistics, then forward in training mode, momentum 0.1."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    network.train()
    with torch.no_grad():
        for images, _ in loader:
            network(images)


def search_config(base: SearchConfig, engine: str = "torch", **changed: Any) -> SearchConfig:
    scoring = base.scoring.model_copy(update={"engine": engine, "device": "cpu", "threads": 1})
    return base.model_copy(update={"scoring": scoring, "workers": 0, **changed})


def tasks_of(generation: Sequence[Candidate], rival: bytes | None, races: bool) -> list[Any]:
    chosen = [candidate.architecture for candidate in generation]
    return [Race(one, rival) for one in chosen] if races else chosen


def score_all(pool: ScoringPool, tasks: list[Any]) -> None:
    for _, result in pool.score(list(enumerate(tasks))):
        assert isinstance(result, Score), result


def loop_all(loop: StraightforwardLoop, threads: int, tasks: list[Any]) -> None:
    torch.set_num_threads(threads)
    for architecture in tasks:
        loop(architecture)
    torch.set_num_threads(1)


def rivals(
    base: SearchConfig, history: list[Candidate], generations: list[int], make: Callable[..., Any]
) -> dict[str, dict[int, bytes]]:
    """For each engine and generation the bits of the last leader of those before."""
    found: dict[str, dict[int, bytes]] = {}
    for engine in ("torch", "packed"):
        scorer = make(search_config(base, engine, racing=RACING))
        found[engine] = {}
        for number in generations:
            leaders = Leaders(RACING.leaders)
            leaders.learn([one for one in history if one.generation < number])
            assert leaders.rival is not None
            score = scorer(Race(leaders.rival.architecture, None))
            found[engine][number] = score.correct
    return found


def rates(seconds: dict[str, list[float]], taken: dict[str, int]) -> dict[str, Any]:
    """Candidates a second of each side, and over the loop's."""
    per = {name: [one / taken[name] for one in values] for name, values in seconds.items()}
    return {
        name: {
            "candidates_per_second": round(1 / statistics.median(values), 3),
            "slowest_round": round(1 / max(values), 3),
            "fastest_round": round(1 / min(values), 3),
            "loop_seconds_over_its": ratio(per[LOOP], values),
        }
        for name, values in per.items()
    }


def whole_searches(
    stage: SearchStage, supernet: Path, budget: int, settings: dict[str, SearchConfig]
) -> dict[str, Any]:
    """The same search with each of the settings, from the first candidate to the last."""
    found: dict[str, list[Candidate]] = {}
    result: dict[str, Any] = {"candidates": budget}
    with tempfile.TemporaryDirectory() as folder:
        for name, config in settings.items():
            run = Path(folder) / name.replace(" ", "-")
            config = config.model_copy(update={"evaluations": budget, "start_with": None})
            began = time.perf_counter()
            run_search(stage.model_copy(update={"search": config}), run, supernet)
            seconds = time.perf_counter() - began
            space = space_from_description(stage.space)
            found[name] = read_history(run / "history.jsonl", space)
            stopped = [one.images for one in found[name] if one.images is not None]
            result[name] = {
                "seconds": round(seconds, 1),
                "candidates_per_second": round(budget / seconds, 3),
                "stopped_early": len(stopped),
                "median_images_of_those": statistics.median(stopped) if stopped else None,
            }
    plain = found[PLAIN]
    top = [(one.index, one.top1) for one in best(plain, 10)]
    for name, own in found.items():
        result[name]["top_10_equal_to_unaccelerated"] = top == [
            (one.index, one.top1) for one in best(own, 10)
        ]
        result[name]["same_candidates_proposed"] = [one.architecture for one in own] == [
            one.architecture for one in plain
        ]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("supernet", type=Path, help="run folder of a trained binary supernet")
    parser.add_argument("search", type=Path, help="run folder of a finished search in it")
    parser.add_argument("--generations", type=int, nargs="+", default=[1, 3, 5, 7, 9])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--few", type=int, default=4, help="candidates a round of slow sides")
    parser.add_argument("--ranked", type=int, default=40, help="candidates also ranked by the loop")
    parser.add_argument("--budget", type=int, default=300, help="candidates of whole searches")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run = read_config(arguments.search)
    known = {name: value for name, value in run["search"].items() if value is not None}
    base = SearchConfig.model_validate({**known, "feasibility_samples": 500})
    every = base.scoring.model_copy(update={"search_images": None})
    base = base.model_copy(update={"scoring": every})
    space, data = space_from_description(run["space"]), DataConfig(**run["data"])
    arrays = scoring_arrays(arguments.supernet, data, base.scoring, run["seed"])
    history = read_history(arguments.search / "history.jsonl", space)
    make = lambda config: scorer_of(space, config)(arrays)  # noqa: E731
    loop = StraightforwardLoop(space.describe(), arrays, search_config(base).scoring)
    bits = rivals(base, history, arguments.generations, make)
    settings = {name: search_config(base, **changed) for name, changed in ALONE.items()}
    pools: dict[str, ScoringPool] = {
        name: SerialPool(scorer_of(space, config), arrays, 1, config.batch)
        for name, config in settings.items()
    }
    factory = scorer_of(space, settings[ALL])
    pools[WORKERS] = RayPool(
        factory, arrays, arguments.workers, batch=-(-settings[ALL].batch // arguments.workers)
    )
    seconds: dict[str, list[float]] = {}
    taken: dict[str, int] = {}
    for number in arguments.generations:
        generation = [one for one in history if one.generation == number]
        calls: dict[str, Callable[[], object]] = {}
        entered = {name: pool.__enter__() for name, pool in pools.items()}
        for name, pool in entered.items():
            config = settings[ALL if name == WORKERS else name]
            shares = config.batch > 1
            part = generation if shares else generation[:: len(generation) // arguments.few]
            tasks = tasks_of(part, bits[config.scoring.engine][number], config.racing is not None)
            taken[name] = len(tasks)
            calls[name] = partial(score_all, pool, tasks)
        few = generation[:: len(generation) // arguments.few]
        taken[LOOP] = len(few)
        calls[LOOP] = partial(loop_all, loop, arguments.workers, tasks_of(few, None, False))
        for name, found in in_turns(calls, 1, seed=number).items():
            seconds.setdefault(name, []).extend(found)
        for pool in entered.values():
            pool.__exit__(None, None, None)
        print(json.dumps({n: round(s[-1] / taken[n], 3) for n, s in seconds.items()}), flush=True)
    torch.set_num_threads(1)
    ranked = [one.architecture for one in history[:: len(history) // arguments.ranked]]
    by_loop = [loop(one) for one in ranked]
    scorers = {name: make(settings[name]) for name in ("torch", PLAIN)}
    agreement = {
        name: alike([float(scorer(one)) for one in ranked], by_loop)
        for name, scorer in scorers.items()
    }
    stage = SearchStage(space=run["space"], data=data, search=base, seed=run["seed"])
    searched = {name: settings[name] for name in (PLAIN, "packed, racing", ALL)}
    searched[WORKERS] = settings[ALL].model_copy(
        update={"workers": arguments.workers, "batch": settings[ALL].batch // arguments.workers}
    )
    write_result(
        "search_speed",
        {
            "kernels": kernels_in_use(),
            "threads": {
                "each of ours": 1,
                "Ray workers": arguments.workers,
                LOOP: arguments.workers,
            },
            "images_per_candidate": {
                "calibration": len(arrays["calibration"]),
                "search": len(arrays["images"]),
            },
            "racing": RACING.model_dump(),
            "rounds": len(arguments.generations),
            "candidates_per_round": taken,
            "sides": rates(seconds, taken),
            "agreement_with_the_loop": agreement,
            "whole_searches": whole_searches(stage, arguments.supernet, arguments.budget, searched),
        },
    )


if __name__ == "__main__":
    main()

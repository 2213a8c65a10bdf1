"""Candidates a second of the Ray pool against scoring in the process, and the pool's overhead."""

from __future__ import annotations

import argparse
import random
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import in_turns, ratio, write_result
from search.pools.pool import ScoringPool, SerialPool
from search.pools.ray_pool import RayPool
from supernet.architecture import Architecture
from supernet.spaces import space_from_description
from training.data import DataConfig
from training.run_files.folder import read_config
from training.scoring.scorer import Scorer, ScoringConfig, scoring_arrays


def make_scorer(description: dict, config: ScoringConfig, arrays: dict) -> Scorer:
    return Scorer(description, arrays, config)


def score_all(pool: ScoringPool, architectures: list[Architecture]) -> list[object]:
    return [score for _, score in sorted(pool.score(list(enumerate(architectures))))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("supernet", type=Path, help="run folder of a trained supernet")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    run = read_config(arguments.supernet)
    space, rng = space_from_description(run["space"]), random.Random(0)
    config = ScoringConfig(calibration_images=1024, calibration_batch=256, search_images=4000)
    arrays = scoring_arrays(arguments.supernet, DataConfig(**run["data"]), config, seed=0)
    factory = partial(make_scorer, space.describe(), config)
    architectures = [space.sample(rng) for _ in range(arguments.candidates)]
    with (
        SerialPool(factory, arrays, 1) as serial,
        RayPool(factory, arrays, arguments.workers) as parallel,
    ):
        warm = score_all(serial, architectures[:2]) == score_all(parallel, architectures[:2])
        assert warm, "both sides must give the same scores"
        seconds = in_turns(
            {
                "serial": lambda: score_all(serial, architectures),
                "ray": lambda: score_all(parallel, architectures),
            },
            arguments.rounds,
        )
    trivial = [space.sample(rng) for _ in range(1000)]
    with RayPool(lambda arrays: lambda architecture: 1.0, {}, arguments.workers) as empty:
        score_all(empty, trivial[:50])
        began = time.perf_counter()
        score_all(empty, trivial)
        overhead_ms = (time.perf_counter() - began) / len(trivial) * 1000
    write_result(
        "scoring_workers",
        {
            "candidates_per_round": arguments.candidates,
            "images_per_candidate": len(arrays["calibration"]) + len(arrays["images"]),
            "workers": arguments.workers,
            "candidates_per_second": {
                name: round(arguments.candidates / sorted(values)[len(values) // 2], 3)
                for name, values in seconds.items()
            },
            "serial_over_ray": ratio(seconds["serial"], seconds["ray"]),
            "pool_overhead_ms_a_candidate": round(overhead_ms, 3),
        },
    )


if __name__ == "__main__":
    main()

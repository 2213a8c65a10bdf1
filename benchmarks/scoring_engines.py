"""Candidates a second of every way of scoring in one process, and how alike they rank."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import nn

from benchmarks.measuring import in_turns, ratio, write_result
from evaluate.audit.ranking import kendall_tau
from search.scoring.packed_scorer import PackedScorer, kernels_in_use
from supernet.architecture import Architecture
from supernet.spaces import space_from_description
from training.data import DataConfig
from training.run_files.folder import read_config
from training.scoring.calibration import calibrate_batch_norm, top1
from training.scoring.scorer import Scorer, ScoringConfig, scoring_arrays

SIDES: dict[str, type[Scorer]] = {"torch": Scorer, "packed": PackedScorer}
"""What is timed; the first is what the others are compared with."""


class ExactScorer(Scorer):
    """Torch in doubles, which rounds away no difference; too slow to be a side."""

    def score(self, architecture: Architecture, *_: object) -> float:
        batches = zip(self._images.split(500), self._labels.split(500), strict=True)
        doubles = ((self._prepare(images).double(), labels) for images, labels in batches)
        return top1(self.calibrated(architecture), doubles)

    def calibrated(self, architecture: Architecture) -> nn.Module:
        twin = self.supernet.extract(architecture).double()
        batches = self._calibration.split(self.config.calibration_batch)
        calibrate_batch_norm(twin, (self._prepare(batch).double() for batch in batches))
        return twin


def score_all(side: Scorer, architectures: list[Architecture]) -> list[float]:
    return [side(architecture) for architecture in architectures]


def calibrated(side: Scorer, architecture: Architecture) -> nn.Module:
    """The network with the statistics that a side computes."""
    if isinstance(side, (ExactScorer, PackedScorer)):
        return side.calibrated(architecture)
    network = side.supernet.extract(architecture).to(memory_format=torch.channels_last)
    batches = side._calibration.split(side.config.calibration_batch)
    calibrate_batch_norm(network, (side._prepare(batch) for batch in batches))
    return network


def errors(network: nn.Module, exact: nn.Module) -> list[float]:
    """Of each BatchNorm in order, its worst channel.

    The greater of the mean's error in deviations and the variance's as a part of itself.
    """
    found = []
    for own, other in zip(network.modules(), exact.modules(), strict=True):
        if isinstance(own, nn.BatchNorm2d):
            mean = (own.running_mean - other.running_mean).abs() / other.running_var.sqrt()
            variance = (own.running_var - other.running_var).abs() / other.running_var
            found.append(max(float(mean.max()), float(variance.max())))
    return found


def alike(scores: list[float], others: list[float], count: int = 10) -> dict[str, float]:
    """How two lists of scores of the same candidates differ."""
    own, other = np.array(scores), np.array(others)
    best, their_best = (set(np.argsort(-s, kind="stable")[:count].tolist()) for s in (own, other))
    differences = np.abs(own - other)
    return {
        "candidates": len(own),
        "kendall_tau": round(kendall_tau(own, other), 4),
        f"best_{count}_in_common": len(best & their_best),
        "mean_difference_points": round(float(differences.mean()), 3),
        "max_difference_points": round(float(differences.max()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("supernet", type=Path, help="run folder of a trained binary supernet")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--candidates", type=int, default=4, help="scored by each side a round")
    parser.add_argument("--ranked", type=int, default=60, help="candidates of the ranking")
    parser.add_argument("--exact", type=int, default=12, help="those also scored in doubles")
    arguments = parser.parse_args()
    run = read_config(arguments.supernet)
    space, rng = space_from_description(run["space"]), random.Random(0)
    config = ScoringConfig(
        calibration_images=1024, calibration_batch=256, search_images=4000, device="cpu"
    )
    arrays = scoring_arrays(arguments.supernet, DataConfig(**run["data"]), config, seed=0)
    sides = {name: make(space.describe(), arrays, config) for name, make in SIDES.items()}
    architectures = [space.sample(rng) for _ in range(arguments.ranked)]
    scores = {name: score_all(side, architectures) for name, side in sides.items()}
    exact = ExactScorer(space.describe(), arrays, config)
    few = architectures[: arguments.exact]
    exact_scores = score_all(exact, few)
    wrong: dict[str, list[list[float]]] = {name: [] for name in sides}
    for architecture in few:
        twin = exact.calibrated(architecture)
        for name, side in sides.items():
            wrong[name].append(errors(calibrated(side, architecture), twin))
    # Every round has candidates that no side has seen, as a search does.
    timed: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        new = [space.sample(rng) for _ in range(arguments.candidates)]
        calls = {name: partial(score_all, side, new) for name, side in sides.items()}
        for name, seconds in in_turns(calls, 1, seed=rng.randrange(1 << 30)).items():
            timed[name] += seconds
    first = next(iter(sides))
    write_result(
        "scoring_engines",
        {
            "kernels": kernels_in_use(),
            "threads": config.threads,
            "torch_threads": torch.get_num_threads(),
            "images_per_candidate": len(arrays["calibration"]) + len(arrays["images"]),
            "candidates_per_round": arguments.candidates,
            "rounds": arguments.rounds,
            "sides": {
                name: {
                    "candidates_per_second": round(
                        arguments.candidates / statistics.median(seconds), 3
                    ),
                    "slowest_round": round(arguments.candidates / max(seconds), 3),
                    "fastest_round": round(arguments.candidates / min(seconds), 3),
                    f"{first}_over_it": ratio(timed[first], seconds),
                    f"against_{first}": alike(scores[name], scores[first]),
                    "against_torch_in_doubles": alike(scores[name][: len(few)], exact_scores, 3),
                    "statistics_error": {
                        "first_norm": f"{statistics.median(e[0] for e in wrong[name]):.1e}",
                        "fifth_norm": f"{statistics.median(e[4] for e in wrong[name]):.1e}",
                        "last_norm": f"{statistics.median(e[-1] for e in wrong[name]):.1e}",
                        "share_of_norms_below_1e-5": round(
                            float(np.mean([[one < 1e-5 for one in e] for e in wrong[name]])), 3
                        ),
                    },
                }
                for name, seconds in timed.items()
            },
        },
    )


if __name__ == "__main__":
    main()

"""What chance alone does to the ranking of the stand-alone networks; numpy alone.

`truth` is (networks, seeds), in percent; only networks of one band are ranked against one another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evaluate.audit.ranking import tau_within
from evaluate.audit.resampling import Estimate, Resample, everything

CAN_TELL = 0.75
"""Tau of two halves of the trainings from which on the truth can judge a ranking; chosen."""


@dataclass(frozen=True)
class SeedNoise:
    """How far trainings of the same networks, equal but for their seed, agree.

    `pooled_std`: standard deviation over seeds, in points, all networks together. `between_seeds`:
    tau of two seeds, mean over pairs. `seed_against_rest`: tau of one seed and the mean of all
    others, mean over seeds: what training every network once more would reach. `between_halves`:
    tau of the means of two halves of the seeds (`halves`), mean over pairs of halves.
    `halves_by_band`: the same of each band's networks alone; empty where there is one band.
    """

    pooled_std: float
    between_seeds: Estimate
    seed_against_rest: Estimate
    between_halves: Estimate
    halves_by_band: list[Estimate]


def halves(num_seeds: int) -> list[tuple[list[int], list[int]]]:
    """Pairs of disjoint halves of the seeds; of an odd number each pair leaves one out.

    The seeds stand in a ring, and any half of neighbours is set against the next: every seed counts
    equally often, and 1,000 seeds make no more than 1,000 pairs.
    """
    half = num_seeds // 2
    # Half a turn on, an even number of seeds makes the same pairs once more.
    starts = range(half if num_seeds % 2 == 0 else num_seeds)
    turned = [[(start + place) % num_seeds for place in range(2 * half)] for start in starts]
    return [(ring[:half], ring[half:]) for ring in turned]


def seed_noise(
    truth: np.ndarray, bands: np.ndarray, resamples: Sequence[Resample]
) -> SeedNoise | None:
    """The noise of `truth`; None of a single seed. Intervals are over networks alone."""
    num_seeds = truth.shape[1]
    if num_seeds < 2:
        return None
    whole = everything(truth)

    def estimate(statistic: Callable[[np.ndarray], float], band: int | None = None) -> Estimate:
        def cut(sample: Resample) -> np.ndarray:
            return (sample if band is None else sample.of_band(bands, band)).networks

        sampled = [statistic(cut(sample)) for sample in resamples]
        return Estimate.of(statistic(cut(whole)), np.array(sampled))

    def between(networks: np.ndarray) -> float:
        of, where = truth[networks], bands[networks]
        pairs = combinations(range(num_seeds), 2)
        return float(np.mean([tau_within(of[:, a], of[:, b], where) for a, b in pairs]))

    def against_rest(networks: np.ndarray) -> float:
        of, where = truth[networks], bands[networks]
        rest = [np.delete(of, seed, axis=1).mean(1) for seed in range(num_seeds)]
        taus = [tau_within(of[:, seed], rest[seed], where) for seed in range(num_seeds)]
        return float(np.mean(taus))

    def between_halves(networks: np.ndarray) -> float:
        of, where = truth[networks], bands[networks]
        taus = [
            tau_within(of[:, one].mean(1), of[:, other].mean(1), where)
            for one, other in halves(num_seeds)
        ]
        return float(np.mean(taus))

    names = np.unique(bands).tolist()
    return SeedNoise(
        float(np.sqrt(truth.var(axis=1, ddof=1).mean())),
        estimate(between),
        estimate(against_rest),
        estimate(between_halves),
        [estimate(between_halves, band) for band in names] if len(names) > 1 else [],
    )

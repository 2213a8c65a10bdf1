"""Intervals by bootstrap: over networks, over their trainings' seeds and over supernets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

QUANTILES = (0.025, 0.975)


class Resample(NamedTuple):
    """The numbers of the networks, of the seeds and of the supernets of one bootstrap sample."""

    networks: np.ndarray
    seeds: np.ndarray
    supernets: np.ndarray

    def of_band(self, bands: np.ndarray, band: int) -> Resample:
        """The sample without the networks of other bands."""
        return self._replace(networks=self.networks[bands[self.networks] == band])


@dataclass(frozen=True)
class Estimate:
    """A value and the 2.5 % and 97.5 % quantiles of its bootstrap samples."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, sampled: np.ndarray) -> Estimate:
        """`value` with the percentile interval of `sampled`."""
        low, high = np.quantile(sampled, QUANTILES).tolist()
        return cls(value, low, high)


def everything(truth: np.ndarray, num_supernets: int = 1) -> Resample:
    """What was measured itself, each once; `truth` is (networks, seeds)."""
    num_networks, num_seeds = truth.shape
    return Resample(np.arange(num_networks), np.arange(num_seeds), np.arange(num_supernets))


def draw_resamples(
    bands: np.ndarray, num_seeds: int, num_supernets: int, count: int, rng: np.random.Generator
) -> list[Resample]:
    """`count` samples with replacement: of each band's networks, of seeds and of supernets.

    A seed is drawn for all networks at once, because it gives all of them the same images in the
    same order (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), 2007), and so
    is a supernet. The intervals of tau are cautious: simulated, they hold the true value in 95 to
    99 of 100 audits. `bands` is (networks,): a network is drawn for one of its own band.
    """
    members = [np.flatnonzero(bands == band) for band in np.unique(bands)]

    def drawn() -> Resample:
        networks = [of_band[rng.integers(len(of_band), size=len(of_band))] for of_band in members]
        seeds = rng.integers(num_seeds, size=num_seeds)
        one = num_supernets == 1  # takes nothing from the stream: older audits had one alone
        supernets = np.zeros(1, int) if one else rng.integers(num_supernets, size=num_supernets)
        return Resample(np.concatenate(networks), seeds, supernets)

    return [drawn() for _ in range(count)]

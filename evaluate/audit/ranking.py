"""How well scores rank networks whose accuracy was measured with several seeds; numpy alone.

Only networks of one band are ranked against one another; without bands all are of band 0. `truth`
is (networks, seeds), in percent; `scores` is (supernets, networks), of any unit, more is better;
`bands` and `ops` are (networks,). A figure of several supernets is the mean of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluate.audit.resampling import Estimate, Resample, everything
from supernet.rank_correlation import kendall_tau, partial_spearman, spearman

Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
"""Of the truth (n,), the scores of one supernet (n,) and the numbers (n,) of n networks."""


def tau_within(x: np.ndarray, y: np.ndarray, bands: np.ndarray) -> float:
    """Kendall's tau of the pairs of one band; 0 where `x` or `y` ranks nothing."""
    return kendall_tau(x, y, bands) or 0.0


def top_k_regret(truth: np.ndarray, scores: np.ndarray, k: int) -> float:
    """The best truth less the best among the `k` of highest scores; in the unit of `truth` (n,).

    Of equal scores the worse network counts as the higher one: a tie is no finding.
    """
    first = np.lexsort((truth, -scores))[:k]
    return float(truth.max() - truth[first].max())


def regret_within(truth: np.ndarray, scores: np.ndarray, bands: np.ndarray, k: int) -> float:
    """`top_k_regret` in each band, the mean over bands."""
    members = [bands == band for band in np.unique(bands)]
    return float(np.mean([top_k_regret(truth[one], scores[one], k) for one in members]))


@dataclass(frozen=True)
class Agreement:
    """How well scores rank the networks: correlations, and the regret in points by k.

    `beyond_ops`: Spearman's rho with the ranks of OPs held; None where the scores or the truth rank
    as OPs do. `tau_by_supernet`: tau of each supernet, whose mean `kendall_tau` is. `tau_by_band`:
    tau of each band's networks alone; empty where there is one band.
    """

    kendall_tau: Estimate
    spearman: Estimate
    beyond_ops: Estimate | None
    regret: dict[int, Estimate]
    tau_by_supernet: list[float]
    tau_by_band: list[Estimate]

    def as_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {**asdict(self), "regret": {str(k): asdict(one) for k, one in self.regret.items()}}


def agreement(
    truth: np.ndarray,
    scores: np.ndarray,
    ops: np.ndarray,
    bands: np.ndarray,
    top_k: Sequence[int],
    resamples: Sequence[Resample],
) -> Agreement:
    """Compare `scores` with the mean of `truth` over seeds."""
    whole = everything(truth, len(scores))

    def value(statistic: Statistic, sample: Resample) -> float:
        mean = truth[np.ix_(sample.networks, sample.seeds)].mean(1)
        of_each = [
            statistic(mean, scores[one, sample.networks], sample.networks)
            for one in sample.supernets
        ]
        return float(np.mean(of_each))

    def estimate(statistic: Statistic, band: int | None = None) -> Estimate:
        def cut(sample: Resample) -> Resample:
            return sample if band is None else sample.of_band(bands, band)

        sampled = [value(statistic, cut(sample)) for sample in resamples]
        return Estimate.of(value(statistic, cut(whole)), np.array(sampled))

    def tau(x: np.ndarray, y: np.ndarray, of: np.ndarray) -> float:
        return tau_within(x, y, bands[of])

    def rho(x: np.ndarray, y: np.ndarray, of: np.ndarray) -> float:
        return spearman(x, y, bands[of]) or 0.0

    def partial(x: np.ndarray, y: np.ndarray, of: np.ndarray) -> float:
        return partial_spearman(x, y, ops[of], bands[of]) or 0.0

    def regret(k: int) -> Statistic:
        return lambda x, y, of: regret_within(x, y, bands[of], k)

    mean = truth.mean(1)
    has_more = any(partial_spearman(mean, of_one, ops, bands) is not None for of_one in scores)
    names = np.unique(bands).tolist()
    return Agreement(
        estimate(tau),
        estimate(rho),
        estimate(partial) if has_more else None,
        {k: estimate(regret(k)) for k in top_k},
        [tau_within(mean, of_one, bands) for of_one in scores],
        [estimate(tau, band) for band in names] if len(names) > 1 else [],
    )


def tau_difference(
    truth: np.ndarray,
    scores: np.ndarray,
    others: np.ndarray,
    bands: np.ndarray,
    resamples: Sequence[Resample],
) -> Estimate:
    """Tau of `scores` less tau of `others`, in pairs: each sample is the same for both."""

    def difference(sample: Resample) -> float:
        networks, seeds, supernets = sample
        mean = truth[np.ix_(networks, seeds)].mean(1)
        taus = [
            np.mean([tau_within(mean, of[one, networks], bands[networks]) for one in supernets])
            for of in (scores, others)
        ]
        return float(taus[0] - taus[1])

    whole = everything(truth, len(scores))
    return Estimate.of(difference(whole), np.array([difference(one) for one in resamples]))

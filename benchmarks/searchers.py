"""Searchers on a table of known accuracies: the regret after so many candidates.

A searcher sees one training of each network, drawn by the seed; the truth is the mean of the
others. Regret: points of top-1 that the truth of the best candidate so far lies below the best
truth within the limit, the table's median FLOPs. The best by the training that is seen is not the
best by truth: the regret of who has seen all candidates is given as `everything`. What a searcher
can be blamed for is the regret by the training that it sees (`seen_regret_points`). All sides see
the same training for one seed, so differences are paired.

A table has few trainings, and a supernet's scores are less exact than they: with `--noise` a
searcher sees the mean of all trainings plus Gaussian noise of so many points, drawn anew by each
seed; the truth is the mean.

    python -m benchmarks.nas_bench_macro nas-bench-macro_cifar10.json macro.json
    python -m benchmarks.searchers macro.json [--searchers evolution,random] [--noise 0.5]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.measuring import write_result
from search.limits.sampling import FeasibleSampler
from search.scoring.known_table import KnownTable, Row, load_table
from search.searchers import SEARCHERS, Searcher
from search.searchers.base import SearcherConfig
from supernet.architecture import Architecture
from supernet.candidate import Candidate, RankKey, rank_key
from supernet.costs.limits import limits_from, within
from training.seeds import stream

COST = "flops"
BUDGETS = (20, 50, 100, 200, 500)
SCREEN = 8
POPULATIONS: Mapping[int, Mapping[str, int]] = {
    50: {},
    20: {"population": 20, "mutations": 10, "crossovers": 10},
}
NORMAL_95 = 1.96


class Regret(NamedTuple):
    """Points of top-1 below the best within the limits: by truth, and as the search sees it."""

    true: float
    seen: float


Regrets = dict[int, Regret]
"""After each budget, of one seed."""


def main() -> None:
    """Search with every side and seed; write the regrets."""
    parser = argparse.ArgumentParser(description="Regret of searchers on known accuracies.")
    parser.add_argument("file", help="a table, as docs/formats.md describes it")
    parser.add_argument("--searchers", default=",".join(SEARCHERS))
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--noise", type=float, help="standard deviation, points of top-1")
    asked = parser.parse_args()
    table = load_table(asked.file)
    limit = statistics.median_low(row.costs[COST] for row in table.rows.values())
    limits = {f"max_{COST}": limit}
    plans = dict(sides(asked.searchers.split(",")))
    found: dict[str, list[Regrets]] = {name: [] for name in plans}
    everything = []
    for seed in range(asked.seeds):
        task = Task(*drawn(table, seed, asked.noise), limits)
        everything.append(task.regret_of_all().true)
        for name, (kind, config) in plans.items():
            found[name].append(task.regrets(kind, config, seed))
    random = dict.fromkeys(found, "random")
    unscreened = {name: name.partition(", screen")[0] for name in found}
    result = {
        "table": table.space.table,
        "networks": len(table.rows),
        "within_limit": task.num_feasible,
        "limit": limits,
        "seeds": asked.seeds,
        "noise_points": asked.noise,
        "regret_points": {"everything": summary(everything), **_by_budget(found, _true)},
        "minus_random": _by_budget(_minus(found, random), _true),
        "minus_unscreened": _by_budget(_minus(found, unscreened), _true),
        "seen_regret_points": _by_budget(found, _seen),
        "seen_minus_random": _by_budget(_minus(found, random), _seen),
        "seen_minus_unscreened": _by_budget(_minus(found, unscreened), _seen),
    }
    theme = "searchers" if asked.noise is None else f"searchers_noise_{asked.noise:g}"
    write_result(theme, result)


def sides(names: Sequence[str]) -> Iterator[tuple[str, tuple[type[Searcher], SearcherConfig]]]:
    """Each searcher with each population, and screened where it can be; random search once."""
    for name in names:
        kind = SEARCHERS[name]
        sizes = POPULATIONS if name != "random" else {50: {}}
        for population, changed in sizes.items():
            options: dict[str, Any] = dict(changed)
            if kind.takes_objectives:
                options["objectives"] = (COST,)
            title = name if name == "random" else f"{name} of {population}"
            yield title, (kind, SearcherConfig(**options, screen=None))
            if kind.screens:
                screened = SearcherConfig(**options, screen=SCREEN)
                yield f"{title}, screen {SCREEN}", (kind, screened)


def drawn(table: KnownTable, seed: int, noise: float | None) -> tuple[KnownTable, int]:
    """The table of one seed, and number of the training that searches of it see.

    With `noise` points each network has two: the mean with noise, which is seen, and the mean.
    """
    if noise is None:
        return table, stream(seed, "table").randrange(table.num_seeds)
    rng = stream(seed, "noise")
    means = {one: statistics.fmean(row.top1) for one, row in table.rows.items()}
    rows = {
        one: Row((mean + rng.gauss(0, noise), mean), table.rows[one].costs)
        for one, mean in means.items()
    }
    return KnownTable(table.space, rows), 0


class Task:
    """A table under limits, of which searches see one training; the regret of a search of it."""

    def __init__(self, table: KnownTable, training: int, limits: Mapping[str, float]) -> None:
        self._table = table
        self._training = training
        self._limits = limits_from(limits)
        self._feasible = [a for a, row in table.rows.items() if within(self._limits, row.costs)]
        self._best_seen = max(table.seen(one, training) for one in self._feasible)
        self._best_truth = max(table.truth(one, training) for one in self._feasible)

    @property
    def num_feasible(self) -> int:
        """Architectures within the limits."""
        return len(self._feasible)

    def regret_of_all(self) -> Regret:
        """The regret of choosing the best seen of all architectures within the limits."""
        return self._regret(
            max(self._feasible, key=lambda one: self._table.seen(one, self._training))
        )

    def regrets(self, kind: type[Searcher], config: SearcherConfig, seed: int) -> Regrets:
        """After each budget, the regret of the best seen so far."""
        table = self._table
        sampler = FeasibleSampler(table.space, table.costs, self._limits, self._feasible[0])
        searcher = kind(sampler, config, stream(seed, "search"))
        found: Regrets = {}
        leader: tuple[RankKey, Architecture] | None = None
        index = 0
        while index < BUDGETS[-1]:
            told = []
            for proposal in searcher.ask(BUDGETS[-1] - index):
                one = proposal.architecture
                top1 = table.seen(one, self._training)
                made = Candidate(
                    index, one, table.costs(one), top1, proposal.generation, proposal.origin
                )
                told.append(made)
                key = rank_key(made)
                leader = (key, one) if leader is None or key < leader[0] else leader
                index += 1
                if index in BUDGETS:
                    found[index] = self._regret(leader[1])
            searcher.tell(told)
        return found

    def _regret(self, chosen: Architecture) -> Regret:
        table, training = self._table, self._training
        return Regret(
            self._best_truth - table.truth(chosen, training),
            self._best_seen - table.seen(chosen, training),
        )


def summary(points: Sequence[float]) -> dict[str, float]:
    """Mean over the seeds with the half width of its 95 % interval, median and quartiles."""
    low, median, high = statistics.quantiles(points, n=4)
    half = NORMAL_95 * statistics.stdev(points) / len(points) ** 0.5
    figures = {"mean": statistics.fmean(points), "ci95": half}
    figures |= {"quartile1": low, "median": median, "quartile3": high}
    return {name: round(value, 4) for name, value in figures.items()}


def _true(regret: Regret) -> float:
    return regret.true


def _seen(regret: Regret) -> float:
    return regret.seen


def _by_budget(
    found: Mapping[str, Sequence[Regrets]], kind: Callable[[Regret], float]
) -> dict[str, Any]:
    return {
        side: {budget: summary([kind(one[budget]) for one in regrets]) for budget in BUDGETS}
        for side, regrets in found.items()
    }


def _minus(
    found: Mapping[str, Sequence[Regrets]], others: Mapping[str, str]
) -> dict[str, list[Regrets]]:
    """Paired differences: the regrets of each side less those of the other it is set against."""
    return {
        side: [
            {b: Regret(*(x - y for x, y in zip(one[b], that[b], strict=True))) for b in BUDGETS}
            for one, that in zip(regrets, found[others[side]], strict=True)
        ]
        for side, regrets in found.items()
        if others[side] != side and others[side] in found
    }


if __name__ == "__main__":
    main()

"""Children chosen by a surrogate (`screen`) on known accuracies: regret after so many candidates.

NAS-Bench-Macro (arXiv 2103.11922): 6,561 networks of 8 positions with 3 blocks each, all trained on
CIFAR-10 three times. A candidate's score is its mean top-1, so that nothing but the searcher is
compared. Regret: points of top-1 that the best candidate lies below the best network. The file is
`nas-bench-macro_cifar10.json` of github.com/xiusu/NAS-Bench-Macro.

    python -m benchmarks.screening FILE
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from benchmarks.measuring import write_result
from search.limits.sampling import FeasibleSampler
from search.searchers import SEARCHERS
from search.searchers.base import SearcherConfig
from supernet.architecture import Architecture
from supernet.candidate import Candidate
from supernet.space import Position, SearchSpace
from supernet.spec import NetworkSpec

SEEDS = 100
BUDGETS = (100, 200)
SMALL = {"population": 20, "mutations": 10, "crossovers": 10}
SIDES: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "evolution": ("evolution", {}),
    "evolution, screen 8": ("evolution", {"screen": 8}),
    "evolution of 20": ("evolution", SMALL),
    "evolution of 20, screen 8": ("evolution", {**SMALL, "screen": 8}),
}


@dataclass(frozen=True)
class Macro(SearchSpace):
    """The choices alone: nothing is built."""

    name: ClassVar[str] = "nas-bench-macro"

    @property
    def positions(self) -> tuple[Position, ...]:
        return tuple(Position(f"layer{number}", (0, 1, 2), "block") for number in range(1, 9))

    def describe(self) -> dict[str, Any]:
        return {"name": self.name}

    def decode(self, architecture: Architecture) -> NetworkSpec:
        raise NotImplementedError("the table has no networks")


def main() -> None:
    """Search with every side and seed, and write the regrets."""
    table = json.loads(Path(sys.argv[1]).read_text())
    top1 = {name: float(network["mean_acc"]) for name, network in table.items()}
    result: dict[str, Any] = {}
    for side, (searcher, settings) in SIDES.items():
        found = [regrets(top1, searcher, settings, seed) for seed in range(SEEDS)]
        result[side] = {budget: summary([one[budget] for one in found]) for budget in BUDGETS}
    write_result("screening", {"networks": len(top1), "seeds": SEEDS, "regret_points": result})


def summary(points: list[float]) -> dict[str, float]:
    """Mean over the seeds, and its standard error."""
    error = statistics.stdev(points) / len(points) ** 0.5
    return {"mean": round(statistics.fmean(points), 4), "standard_error": round(error, 4)}


def regrets(
    top1: Mapping[str, float], searcher: str, settings: Mapping[str, Any], seed: int
) -> dict[int, float]:
    """After each budget, by how many points the best so far lies below the best of all."""
    space = Macro()
    sampler = FeasibleSampler(space, lambda _: {}, (), space.first())
    one = SEARCHERS[searcher](sampler, SearcherConfig(**settings), Random(seed))
    best, found, index = max(top1.values()), {}, 0
    leader = 0.0
    while index < max(BUDGETS):
        told = []
        for proposal in one.ask(max(BUDGETS) - index):
            score = top1["".join(str(choice) for _, choice in proposal.architecture.choices)]
            chosen, number = proposal.architecture, proposal.generation
            told.append(Candidate(index, chosen, {}, score, number, proposal.origin))
            index, leader = index + 1, max(leader, score)
            if index in BUDGETS:
                found[index] = best - leader
        one.tell(told)
    return found


if __name__ == "__main__":
    main()

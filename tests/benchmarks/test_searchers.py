"""The benchmark of searchers: its regrets on a made-up table, and every searcher as a side."""

import pytest

from benchmarks import searchers
from benchmarks.searchers import Task, drawn, sides, summary
from search.searchers import SEARCHERS
from search.searchers.base import SearcherConfig
from supernet.candidate import Candidate, best
from tests.score_table import made_up

LIMITS = {"max_flops": 1_300}


@pytest.fixture(autouse=True)
def budgets(monkeypatch):
    """17 networks keep the limit."""
    monkeypatch.setattr(searchers, "BUDGETS", (1, 5, 17))


@pytest.mark.parametrize("noise", [None, 4.0])
def test_regret_is_that_of_the_best_seen_so_far(noise):
    for seed in range(6):
        table, training = drawn(made_up(), seed, noise)
        task = Task(table, training, LIMITS)
        found = task.regrets(SEARCHERS["random"], SearcherConfig(), seed)
        assert found[17] == task.regret_of_all() and found[17].seen == 0
        assert found[1].seen >= found[5].seen >= 0
        everything = [
            Candidate(0, one, row.costs, row.top1[training], 0, "")
            for one, row in table.rows.items()
            if row.costs["flops"] <= 1_300
        ]
        chosen = best(everything, 1)[0].architecture
        most = max(table.truth(one.architecture, training) for one in everything)
        assert found[17].true == most - table.truth(chosen, training)


def test_every_searcher_is_a_side_and_runs():
    task = Task(made_up(), 0, LIMITS)
    plans = dict(sides(list(SEARCHERS)))
    assert {kind for kind, _ in plans.values()} == set(SEARCHERS.values())
    screened = {kind for kind, config in plans.values() if config.screen}
    assert screened == {kind for kind in SEARCHERS.values() if kind.screens}
    for kind, config in plans.values():
        assert set(task.regrets(kind, config, 0)) == {1, 5, 17}


def test_noise_is_seen_and_is_no_part_of_the_truth():
    table = made_up()
    noisy, training = drawn(table, 0, 2.0)
    off = []
    for one, row in table.rows.items():
        assert noisy.truth(one, training) == pytest.approx(sum(row.top1) / 3)
        assert noisy.costs(one) == row.costs
        off.append(noisy.seen(one, training) - noisy.truth(one, training))
    assert 1.2 < (sum(x * x for x in off) / len(off)) ** 0.5 < 2.8
    assert drawn(table, 0, 2.0)[0] == noisy != drawn(table, 1, 2.0)[0]


def test_a_summary_has_the_interval_of_the_mean():
    figures = summary([0.0, 1.0, 2.0, 3.0])
    assert figures["mean"] == figures["median"] == 1.5
    assert figures["ci95"] == pytest.approx(1.96 * (5 / 3) ** 0.5 / 2, abs=1e-4)

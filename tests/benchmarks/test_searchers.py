"""The benchmark of searchers: its regrets on a made-up table, and every searcher as a side."""

import pytest

from benchmarks import searchers
from benchmarks.searchers import Task, sides, summary
from search.searchers import SEARCHERS
from search.searchers.base import SearcherConfig
from supernet.candidate import Candidate, best
from tests.score_table import made_up


@pytest.fixture
def task(monkeypatch):
    monkeypatch.setattr(searchers, "BUDGETS", (1, 5, 17))  # 17 networks keep the limit
    return Task(made_up(), {"max_flops": 1_300})


def test_regret_is_that_of_the_best_seen_so_far(task):
    table = made_up()
    for seed in range(6):
        training = task.training_seen(seed)
        found = task.regrets(SEARCHERS["random"], SearcherConfig(), seed)
        assert found[17] == task.regret_of_all(seed) and found[17].seen == 0
        assert found[1].seen >= found[5].seen >= 0
        everything = [
            Candidate(0, one, row.costs, row.top1[training], 0, "")
            for one, row in table.rows.items()
            if row.costs["flops"] <= 1_300
        ]
        chosen = best(everything, 1)[0].architecture
        most = max(table.truth(one.architecture, training) for one in everything)
        assert found[17].true == most - table.truth(chosen, training)


def test_every_searcher_is_a_side_and_runs(task):
    plans = dict(sides(list(SEARCHERS)))
    assert {kind for kind, _ in plans.values()} == set(SEARCHERS.values())
    screened = {kind for kind, config in plans.values() if config.screen}
    assert screened == {kind for kind in SEARCHERS.values() if kind.screens}
    for kind, config in plans.values():
        assert set(task.regrets(kind, config, 0)) == {1, 5, 17}


def test_a_summary_has_the_interval_of_the_mean():
    figures = summary([0.0, 1.0, 2.0, 3.0])
    assert figures["mean"] == figures["median"] == 1.5
    assert figures["ci95"] == pytest.approx(1.96 * (5 / 3) ** 0.5 / 2, abs=1e-4)

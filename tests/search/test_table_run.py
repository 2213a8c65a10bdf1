"""Searches of a table: all searchers, limits, resume, and what a table cannot serve."""

import pytest

from search.scoring.known_table import save_table
from search.searchers import SEARCHERS
from search.table_run import TableStage, search_table
from supernet.files import UserError
from supernet.history_file import read_history
from tests.score_table import made_up

SMALL = {"population": 6, "parents": 3, "mutations": 3, "crossovers": 2, "evaluations": 18}


@pytest.fixture
def file(tmp_path):
    save_table(tmp_path / "table.json", made_up())
    return tmp_path / "table.json"


def stage_of(searcher="evolution", seed=0, space=None, **changed):
    search = {"searcher": searcher, **SMALL, **changed}
    return TableStage(search=search, seed=seed, space=space or {})


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_every_searcher_finds_the_best_where_it_sees_all(file, tmp_path, searcher):
    takes = {"objectives": ["flops"]} if SEARCHERS[searcher].takes_objectives else {}
    stage = stage_of(searcher, evaluations=40, max_flops=1_300, **takes)
    summary = search_table(stage, tmp_path / "run", file)
    table = made_up()
    within = [one for one, row in table.rows.items() if row.costs["flops"] <= 1_300]
    assert summary["is_exhausted"] and summary["evaluations"] == len(within) == 17
    training = summary["training"]
    best = max(within, key=lambda one: table.seen(one, training))
    assert summary["best"] == str(best)
    assert summary["seen_top1"] == table.seen(best, training)
    truth = table.truth(best, training)
    most = max(table.truth(one, training) for one in within)
    assert summary["truth"] == pytest.approx(truth, abs=1e-4)
    assert summary["regret_points"] == pytest.approx(most - truth, abs=1e-4)


def test_the_history_holds_one_training_with_the_table_s_costs(file, tmp_path):
    summary = search_table(stage_of(seed=3), tmp_path / "run", file)
    table = made_up()
    found = read_history(tmp_path / "run" / "history.jsonl", table.space)
    assert len(found) == 18
    for one in found:
        assert one.top1 == table.seen(one.architecture, summary["training"])
        assert one.costs == table.rows[one.architecture].costs
    assert summary["regret_points"] >= 0


def test_seeds_draw_different_trainings(file, tmp_path):
    drawn = {
        search_table(stage_of(seed=seed, evaluations=1), tmp_path / f"{seed}", file)["training"]
        for seed in range(12)
    }
    assert drawn == {0, 1, 2}


def test_a_cut_search_goes_on_to_the_same_history(file, tmp_path):
    search_table(stage_of(), tmp_path / "whole", file)
    run = tmp_path / "run"
    search_table(stage_of(evaluations=7), run, file)
    assert search_table(stage_of(), run, file)["evaluations"] == 18
    whole = (tmp_path / "whole" / "history.jsonl").read_bytes()
    assert (run / "history.jsonl").read_bytes() == whole


def test_a_run_is_of_one_table(file, tmp_path):
    search_table(stage_of(), tmp_path / "run", file)
    file.write_text(file.read_text().replace("made-up", "another"))
    with pytest.raises(UserError, match="was made from another table"):
        search_table(stage_of(), tmp_path / "run", file)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_ops": 5}, "max_ops: table 'made-up' has no cost 'ops'; it has flops, milliwatts"),
        ({"searcher": "nsga2"}, "no objective 'ops'; objectives beside top1 are flops, milliwatts"),
        ({"max_flops": 900}, "no architecture is that cheap"),
        ({"racing": {}, "parents": 3}, "search.racing is set: a table has scores and costs alone"),
        ({"start_with": ["a.json"]}, "search.start_with is set"),
        ({"designs": True}, "search.designs is set"),
    ],
)
def test_what_a_table_cannot_serve_is_refused(file, tmp_path, changed, message):
    with pytest.raises(UserError, match=message):
        search_table(stage_of(**changed), tmp_path / "run", file)
    assert not (tmp_path / "run").exists()


def test_a_table_of_another_space_is_refused(file, tmp_path, space):
    with pytest.raises(UserError, match="table 'made-up' is of another space than"):
        search_table(stage_of(space=space.describe()), tmp_path / "run", file)

"""`evobit search --table`: a search of known accuracies, and what it refuses."""

import json
from pathlib import Path

import pytest

from evobit.main import run
from search.scoring.known_table import save_table
from tests.score_table import made_up

COMMAND = ["search", "compare.yaml", "--table", "table.json"]
RUN = Path("runs/compare-table-search")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with a table, and a config that has nothing but a search."""
    monkeypatch.chdir(tmp_path)
    Path("compare.yaml").write_text("search: {population: 9, mutations: 4, crossovers: 4}\n")
    save_table("table.json", made_up())


def test_a_table_is_searched_and_resumed(capsys):
    assert run([*COMMAND, "--set", "search.evaluations=15", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["evaluations"] == 15 and first["table"] == "made-up"
    assert run([*COMMAND, "--set", "search.evaluations=15"]) == 0
    assert "already finished; nothing to do" in capsys.readouterr().err
    assert run([*COMMAND, "--set", "search.evaluations=27", "--json"]) == 0
    grown = json.loads(capsys.readouterr().out)
    assert grown["evaluations"] == 27 and grown["flops"] == 1_600
    assert len((RUN / "history.jsonl").read_text().splitlines()) == 27
    assert run([*COMMAND, "--set", "search.evaluations=26"]) == 2
    assert "search.evaluations was 27, now 26" in capsys.readouterr().err


def test_a_front_is_searched(capsys):
    options = ["search.searcher=nsga2", "search.objectives=[flops]"]
    assert run([*COMMAND, *(part for one in options for part in ("--set", one))]) == 0
    assert "candidates" in capsys.readouterr().out


def test_a_dry_run_leaves_nothing(capsys):
    assert run([*COMMAND, "--dry-run", "--json"]) == 0
    would = json.loads(capsys.readouterr().out)
    assert would == {"table": "made-up", "architectures": 27, "evaluations": 189}
    assert not RUN.exists()


def drop_one(document):
    del document["networks"][7]


def not_finite(document):
    document["networks"][7]["top1"][0] = float("nan")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_one, "table.json: has 26 of the 27 architectures"),
        (not_finite, "table.json: networks.7: top1 holds nan: expected percent, from 0 to 100"),
    ],
)
def test_damaged_tables_end_with_2(capsys, damage, message):
    document = json.loads(Path("table.json").read_text())
    damage(document)
    Path("table.json").write_text(json.dumps(document))
    assert run(COMMAND) == 2
    assert message in capsys.readouterr().err
    assert not RUN.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "space.name=mobilenet-groups"], "table 'made-up' is of another space than"),
        (["--set", "search.max_ops=3"], "has no cost 'ops'"),
        (["--workers", "2"], "--workers: not with --table"),
        (["--supernet", "runs/x"], "--supernet: not with --table"),
        (["--strict"], "--strict: not with --table"),
        (["--table", "missing.json"], "table missing.json: cannot be read"),
    ],
)
def test_what_does_not_fit_a_table_ends_with_2(capsys, options, message):
    assert run([*COMMAND, *options]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.out == ""
    assert not RUN.exists()


def test_other_commands_refuse_its_run(capsys):
    assert run([*COMMAND, "--set", "search.evaluations=5"]) == 0
    capsys.readouterr()
    assert run(["export", str(RUN), "-o", "best.json"]) == 2
    assert "not the run folder of a search" in capsys.readouterr().err

"""`evobit latency-table` through the command line, and a search under its limit."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from deploy.kernels.library import backend_info
from evobit.main import run

pytestmark = pytest.mark.skipif(
    backend_info()["backend"] != "native", reason="the compiled kernels are not installed"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> Path:
    """A working folder with a config."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    return tmp_path


def test_build_show_and_search(folder, capsys):
    build = ["latency-table", "build", "--config", "tiny.yaml", "-o", "t.csv", "--rounds", "2"]
    assert run([*build, "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["source"] == "measured" and built["layers"] > 3
    assert run(["latency-table", "show", "t.csv", "--plot", "plots", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["layers"]) == built["layers"]
    assert sorted(path.name for path in Path("plots").iterdir()) == ["layers.svg", "networks.svg"]
    assert run(["latency-table", "show", "t.csv"]) == 0
    shown_text = capsys.readouterr().out
    assert "ms by groups" in shown_text and "choices" not in shown_text
    references = next(line for line in shown_text.splitlines() if "references" in line)
    assert " entries " in references
    limits = ["--set", "search.latency_table=t.csv", "--set", "search.trust_latency_table=true"]
    limits += ["--set", "search.max_latency_ms=100"]
    assert run(["train-supernet", "tiny.yaml"]) == 0
    capsys.readouterr()
    assert run(["search", "tiny.yaml", *limits, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["latency_ms"] <= 100
    assert found["measured"][0]["kept"]
    assert found["measured"][0]["measured_ms"] > 0


def test_a_table_from_elsewhere(folder, capsys):
    assert run(["latency-table", "export-layers", "--config", "tiny.yaml", "-o", "l.csv"]) == 0
    with open("l.csv") as file:
        rows = list(csv.DictReader(file))
    with open("m.csv", "w") as file:
        writer = csv.DictWriter(file, ["layer", "latency_ms"])
        writer.writeheader()
        writer.writerows({"layer": row["layer"], "latency_ms": 2} for row in rows)
    where = ["--config", "tiny.yaml", "-o", "t.csv", "--device", "phone"]
    capsys.readouterr()
    assert run(["latency-table", "import", "m.csv", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] == "phone"
    limit = ["--set", "search.latency_table=t.csv", "--set", "search.max_latency_ms=100"]
    assert run(["train-supernet", "tiny.yaml"]) == 0
    assert run(["search", "tiny.yaml", *limit]) == 2
    assert "kernel version" in capsys.readouterr().err
    other = ["--set", "search.latency_device=other"]
    assert run(["search", "tiny.yaml", *limit, *other]) == 2
    assert "trust_latency_table" in capsys.readouterr().err
    trust = ["--set", "search.trust_latency_table=true"]
    assert run(["search", "tiny.yaml", *limit, *other, *trust]) == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["build", "--config", "none.yaml", "-o", "t.csv"], "none.yaml"),
        (["build", "-o", "t.csv"], "--config"),
        (["show", "none.csv"], "none.csv: cannot be read"),
        (["show", "tiny.yaml"], "tiny.yaml: is not a latency table (which 'evobit latency-table"),
        (["import", "none.csv", "--config", "tiny.yaml", "-o", "t.csv", "--device", "x"], "none"),
    ],
)
def test_wrong_input_is_refused(folder, capsys, arguments, part):
    assert run(["latency-table", *arguments]) == 2
    assert part in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.yaml"]


def test_of_very_many_layers_the_first_are_shown(tmp_path, capsys):
    """300,000 rows took over a minute: each was looked up by its name, and all were drawn."""
    file = tmp_path / "many.csv"
    whole = Path("latency_tables/tables/fmnist-latency.csv").read_text().splitlines()
    numbers = whole[2].partition(",")[2]
    rows = [f"layer size={number},{numbers}" for number in range(1500)]
    file.write_text("\n".join([*whole[:2], *rows]) + "\n")
    assert run(["latency-table", "show", str(file)]) == 0
    printed = capsys.readouterr()
    assert "layer 999 " in printed.out and "layer 1000 " not in printed.out
    assert "note: 500 more rows are not shown; --json gives all" in printed.err
    assert run(["latency-table", "show", str(file), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["layers"]) == 1500

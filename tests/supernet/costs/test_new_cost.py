"""A made-up cost, added as CONTRIBUTING says: its row, its counting rule, its check.

They are added to a copy of the program, which then limits, counts, reports and draws it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evobit.main import run
from supernet.architecture_file import save_architecture
from supernet.costs import Costs, cost
from supernet.costs.table import ANALYTIC, COSTS

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("supernet", "training", "deploy", "latency_tables", "search", "evaluate", "evobit")

EDITS = {
    "supernet/costs/table.py": (
        """        Cost(
            LATENCY,
""",
        """        Cost("conv_weights", "weights", "kernel weights", "weights of convolutions"),
        Cost(
            LATENCY,
""",
    ),
    "supernet/costs/count.py": (
        """    bits: int = 0

""",
        """    bits: int = 0
    conv_weights: int = 0

""",
        """                bits=layer.num_weights * layer.weight_bits,
""",
        """                bits=layer.num_weights * layer.weight_bits,
                conv_weights=layer.num_weights,
""",
    ),
    "supernet/verify.py": (
        """        bits=parameters * REAL_BITS - saved_bits,
""",
        """        bits=parameters * REAL_BITS - saved_bits,
        conv_weights=sum(p.numel() for p in network.parameters() if p.dim() == 4),
""",
    ),
}

PROGRAM = """
import json
from random import Random
from pydantic import ValidationError
from evobit.main import run
from search import SearchConfig, check_feasibility
from search.limits.measure import CostMeter
from supernet.files import UserError
from supernet.spaces import space_from_description

space = space_from_description(json.load(open("space.json")))
measure = CostMeter(space)
most = measure(space.uniform(2))["conv_weights"]

limits = SearchConfig(max_conv_weights=most).limits()
found = check_feasibility(space, measure, limits, 50, Random(0))
(constraint,) = found.constraints
assert (constraint.name, constraint.unit, constraint.maximum) == ("conv_weights", "weights", most)
assert constraint.violation(measure(space.uniform(1))) > 0 == constraint.violation(
    measure(found.start)
)
assert found.as_dict()["costs"]["conv_weights"]["minimum"] < most and found.acceptance < 1
try:
    check_feasibility(space, measure, {"max_conv_weights": 1}, 50, Random(0))
except UserError as error:
    print(error)
try:
    SearchConfig(max_conv_weights=1, min_conv_weights=2)
except ValidationError as error:
    print(error)

for line in (
    "cost best.json --verify",
    "export search -o best.json --limit max_conv_weights=1",
    "report retrain",
    "report retrain --html -o page.html",
    "report search --html -o search.html",
):
    print("exit code", run(line.split()), "of", line, flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The packages with the made-up cost; all files but three are those of the checkout."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            tmp_path / "program" / package,
            copy_function=os.symlink,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for name, edits in EDITS.items():
        text = (ROOT / name).read_text()
        for old, new in zip(edits[::2], edits[1::2], strict=True):
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (tmp_path / "program" / name).unlink()
        (tmp_path / "program" / name).write_text(text)
    return tmp_path / "program"


def made_runs(folder: Path, costs: list[dict], choices: list[dict], space: dict) -> None:
    """A search of two candidates and a retraining of both, as their programs leave them."""
    lines = [
        {
            "index": index,
            "architecture": of_one,
            "costs": {**costs[index], "conv_weights": 640 * (index + 1)},
            "top1": 50.0 + index,
            "generation": 0,
            "origin": "random",
        }
        for index, of_one in enumerate(choices)
    ]
    networks = [
        {
            "name": name,
            "kind": kind,
            "roles": [{"name": name, "kind": kind, "limits": 0}],
            "choices": line["architecture"],
            "costs": line["costs"],
            "test_top1": [line["top1"], line["top1"] + 1],
            "test_top5": [100.0, 100.0],
            "networks": [],
        }
        for line, name, kind in zip(
            lines, ("finalist", "random 1"), ("finalist", "random"), strict=True
        )
    ]
    limits = {"max_conv_weights": 600}
    summaries = {
        "search": {"best": ""},
        "retrain": {
            "limit_sets": [{"limits": limits, "num_uniform": 0}], "epochs": 1, "networks": networks,
        },
    }  # fmt: skip
    for stage, summary in summaries.items():
        (folder / stage).mkdir()
        manifest = {
            **{"format": "evobit/run", "version": 1, "stage": stage, "created": "2026-01-02"},
            "config": {"space": space, "data": {"name": "bars"}, "search": limits, "seed": 0},
            **{"inputs": {}, "summary": summary},
        }
        (folder / stage / "manifest.json").write_text(json.dumps(manifest))
    history = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "search" / "history.jsonl").write_text(history)


def test_a_new_cost_is_limited_counted_reported_and_drawn(program: Path, tiny_space) -> None:
    architectures = [tiny_space.uniform(2), tiny_space.uniform(1)]
    costs = [cost(tiny_space.decode(one)).as_dict() for one in architectures]
    choices = [dict(one.choices) for one in architectures]
    folder = program.parent
    made_runs(folder, costs, choices, tiny_space.describe())
    (folder / "space.json").write_text(json.dumps(tiny_space.describe()))
    save_architecture(folder / "best.json", tiny_space, architectures[0])
    environment = {**os.environ, "PYTHONPATH": str(program), "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # In a search: refused by its own name and unit.
    assert "max_conv_weights 1: no architecture is that cheap" in done.stdout
    assert " weights\n" in done.stdout
    assert "min_conv_weights 2 is above max_conv_weights 1" in done.stdout
    assert "no scored candidate keeps max_conv_weights 1; conv_weights of the" in done.stderr
    # Counted, and counted independently.
    assert "exit code 0 of cost best.json --verify" in done.stdout
    assert "conv_weights" in done.stdout and "weights of convolutions" in done.stdout
    # In the table of the report, and on the page.
    table = (folder / "retrain" / "report.md").read_text()
    assert "| model bits | kernel weights |" in table
    assert "finalist is outside its limits: conv_weights 640 is above max_conv_weights 600" in table
    rows = json.loads((folder / "retrain" / "report.json").read_text())["networks"]
    assert [row["conv_weights"] for row in rows] == [640, 1280]
    page = (folder / "page.html").read_text()
    assert ">kernel weights</th>" in page and ">1,280</td>" in page
    assert '"conv_weights": "kernel weights"' in page  # of the tips
    assert "Accuracy against kernel weights" in (folder / "search.html").read_text()
    assert done.stdout.count("exit code 0") == 4, done.stdout + done.stderr


def test_every_analytic_cost_is_counted() -> None:
    counted = Costs(64, 64).as_dict()
    assert tuple(counted) == ANALYTIC
    assert set(vars(Costs())) | {"ops"} == set(ANALYTIC)
    assert Costs(1, 2, 3, 4, 5, 6) + Costs(10, 20, 30, 40, 50, 60) == Costs(11, 22, 33, 44, 55, 66)


def test_the_command_says_what_every_cost_means(
    tmp_path: Path, tiny_space, capsys: pytest.CaptureFixture[str]
) -> None:
    save_architecture(tmp_path / "a.json", tiny_space, tiny_space.first())
    assert run(["cost", str(tmp_path / "a.json")]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ANALYTIC)
    assert all(one.unit and one.title and one.meaning for one in COSTS.values())

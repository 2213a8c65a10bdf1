"""The commands of the stages: what they call with what, and that a mistake changes nothing."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel, ConfigDict

from evobit.main import run
from supernet.architecture import save_architecture
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups

SPACE = {
    "name": "mobilenet-groups",
    "image_size": 8,
    "classes": 3,
    "width": 0.25,
    "groups": [1, 2],
    "blocks": [[64, 1], [128, 2]],
}


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    epochs: int = 1


class Stage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    space: dict
    supernet: Section = Section()
    search: Section = Section()
    retrain: Section = Section()
    seed: int = 0


class Report:
    markdown = "| network | top-1 |\n"

    def as_dict(self):
        return {"rows": []}


@pytest.fixture
def calls(monkeypatch):
    """Stand-ins for all stage functions; the list of what was called with what."""
    made = []

    def stand_in(name, result):
        def call(*arguments, **named):
            made.append((name, *arguments, *named.values()))
            return result(*arguments) if callable(result) else result

        return call

    def export(run, output, limits=()):
        return [Path(output)]

    modules = {
        "training.supernet_training": {"SupernetStage": Stage, "train_supernet": {"loss": 1.5}},
        "search.run": {"SearchStage": Stage, "run_search": {"candidates": 500}},
        "search.export": {"export_best": export},
        "evaluate.retrain": {"RetrainStage": Stage, "retrain": {"networks": 2}},
        "evaluate.score": {"evaluate_checkpoint": {"top1": 91.5}},
        "evaluate.report": {"report": lambda run: Report()},
        "evaluate.estimate": {"estimate": {"time_s": 12.0, "disk_bytes": 4096}},
        "training.data.cache": {"build_cache": None},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        for member, value in members.items():
            given = value if isinstance(value, type) else stand_in(member, value)
            setattr(module, member, given)
        monkeypatch.setitem(sys.modules, name, module)
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a config and an architecture of its space."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(json.dumps({"space": SPACE, "search": {"epochs": 2}, "seed": 5}))
    space = space_from_description(SPACE)
    save_architecture("a.json", space, space.first())
    return tmp_path


def test_default_run_folders_and_overrides(calls, folder):
    assert run(["train-supernet", "tiny.yaml", "--set", "supernet.epochs=7"]) == 0
    (name, stage, where), *_ = calls
    assert (name, where) == ("train_supernet", Path("runs/tiny-supernet"))
    assert (stage.supernet.epochs, stage.search.epochs, stage.seed) == (7, 2, 5)


def test_search_takes_the_supernet_of_the_same_config(calls, folder, capsys):
    assert run(["search", "tiny.yaml"]) == 2
    assert "no supernet run in runs/tiny-supernet" in capsys.readouterr().err
    Path("runs/tiny-supernet").mkdir(parents=True)
    assert run(["search", "tiny.yaml", "--run", "found", "--json"]) == 0
    assert calls[-1][2:] == (Path("found"), Path("runs/tiny-supernet"))
    assert json.loads(capsys.readouterr().out) == {"candidates": 500}


def test_export_with_limits(calls, folder, capsys):
    assert run(["export", "found", "-o", "b.json", "--limit", "max_ops=3e6,max_bits=8e6"]) == 0
    expected = (Path("found"), Path("b.json"), [{"max_ops": 3e6, "max_bits": 8e6}])
    assert calls == [("export_best", *expected)]
    assert capsys.readouterr().out == "b.json\n"
    assert run(["export", "found", "--limit", "max_ops"]) == 2


def test_retrain_evaluate_report_cache(calls, folder, capsys):
    assert run(["retrain", "tiny.yaml", "a.json", "a.json"]) == 0
    assert calls[-1][2:] == ([Path("a.json")] * 2, Path("runs/tiny-retrain"))
    assert run(["evaluate", "net.safetensors", "--data", "images", "--json"]) == 0
    assert calls[-1][1:] == (Path("net.safetensors"), Path("images"))
    assert run(["cache", "images", "--size", "64"]) == 0
    assert calls[-1][1:4] == (Path("images"), Path("images-cache-64"), 64)
    capsys.readouterr()
    assert run(["report", "runs/tiny-retrain"]) == 0
    assert capsys.readouterr().out == Report.markdown


@pytest.mark.parametrize("words", [["train-supernet"], ["search"], ["retrain", "a.json"]])
def test_dry_run_estimates_and_does_nothing(calls, folder, capsys, words):
    command, *rest = words
    assert run([command, "tiny.yaml", *rest, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"time_s": 12.0, "disk_bytes": 4096}
    assert [name for name, *_ in calls] == ["estimate"]
    assert not Path("runs").exists()


def test_demo_runs_the_whole_path(calls, folder, capsys):
    assert run(["demo", "--config", "tiny.yaml", "--run", "shown", "--json"]) == 0
    printed = capsys.readouterr()
    assert [name for name, *_ in calls] == [
        "train_supernet",
        "run_search",
        "export_best",
        "retrain",
        "report",
    ]
    assert calls[3][2:] == ([Path("shown/best.json")], Path("shown/retrain"))
    assert json.loads(printed.out)["demo"]["run"] == "shown"
    assert "train-supernet took" in printed.err


@pytest.mark.parametrize("words", [["train-supernet"], ["search"], ["retrain", "a.json"]])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sead": 1}, "unknown section 'sead'; did you mean 'seed'?"),
        ({"seed": "x"}, "field 'seed' is 'x': expected a valid integer"),
        ({"space": {**SPACE, "groups": [1, 3]}}, "3 groups divide the channels of no block"),
        ({"space": {**SPACE, "wdith": 1}}, "did you mean 'space.width'?"),
    ],
)
def test_a_wrong_config_changes_nothing(calls, folder, capsys, words, change, expected):
    path = Path("tiny.yaml")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    before = {path: path.read_bytes() for path in Path().rglob("*")}
    command, *rest = words
    assert run([command, "tiny.yaml", *rest]) == 2
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""
    assert calls == []
    assert {path: path.read_bytes() for path in Path().rglob("*")} == before


def test_an_architecture_of_another_space_is_refused(calls, folder, capsys):
    other = MobileNetGroups()
    save_architecture("other.json", other, other.first())
    assert run(["retrain", "tiny.yaml", "a.json", "other.json"]) == 2
    message = capsys.readouterr().err
    assert "other.json: belongs to another search space" in message
    assert len(message.splitlines()) == 1
    assert calls == []

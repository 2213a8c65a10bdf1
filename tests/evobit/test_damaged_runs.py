"""Run folders of strangers: another kind of value anywhere in their JSON is damage, in one line."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from evobit.main import run

INSTEAD = ("text", None, [], {}, 10**400, -1)
READERS = {
    "search": ("report search --html -o p.html", "watch search --once", "export search --pareto"),
    "finals": ("report finals", "report finals --html -o p.html", "watch finals --once"),
    "retraining": ("report retraining", "report retraining --html -o p.html"),
}
FILES = ("manifest.json", "feasibility.json")
CASES = 8
"""Of each file; which they are is drawn from a fixed seed."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_space: Any, bars: Path) -> Path:
    """A search for a front, its finals, and a retraining."""
    folder = tmp_path_factory.mktemp("made")
    own = {"epochs": 1, "batch_size": 16, "tensorboard": False, "threads": 1}
    config = {
        "space": tiny_space.describe(),
        "data": {"name": f"{bars}:read", "image_size": 8, "search_fraction": 0.2},
        "supernet": own,
        "search": {
            **{"searcher": "nsga2", "population": 4, "evaluations": 8, "feasibility_samples": 20},
            "scoring": {"calibration_images": 64, "calibration_batch": 32, "batch_size": 16},
            "max_ops": 1e9,
        },
        "finals": {"best": 1, "designs": 1, "rungs": [1]},
        "retrain": {**own, "seeds": 1, "uniform": 0, "random": 1},
        "seed": 3,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("c.yaml").write_text(yaml.safe_dump(config))
        for line in (
            "train-supernet c.yaml --run supernet",
            "search c.yaml --supernet supernet --run search",
            "finals c.yaml search --run finals",
            "export search -o arch.json",
            "retrain c.yaml arch.json --run retraining",
        ):
            assert run(line.split()) == 0, line
    return folder


def places(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each value of a document stands; of a list the first alone."""
    inner: Any = ()
    if isinstance(document, dict):
        inner = document.items()
    elif isinstance(document, list):
        inner = list(enumerate(document))[:1]
    for key, value in inner:
        yield (*above, key)
        yield from places(value, (*above, key))


def replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    within = changed
    for key in place[:-1]:
        within = within[key]
    within[place[-1]] = value
    return changed


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("name", FILES)
def test_any_other_value_is_read_or_refused_in_a_line(
    made: Path,
    kind: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not (made / kind / name).exists():
        pytest.skip("of a search alone")
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    file = Path(kind, name)
    document = json.loads(file.read_text())
    cases = [(place, value) for place in places(document) for value in INSTEAD]
    for place, value in Random(0).sample(cases, min(CASES, len(cases))):
        file.write_text(json.dumps(replaced(document, place, value)))
        for line in READERS[kind]:
            code = run(line.split())
            printed = capsys.readouterr().err
            what = f"{line}: {place} is {value!r:.20}: {printed[-300:]}"
            assert code in (0, 2) and "raceback" not in printed, what


@pytest.mark.parametrize(
    ("kind", "place", "value"),
    [
        ("search", ("config", "search", "max_ops"), "text"),
        ("search", ("summary", "hypervolume"), "text"),
        ("search", ("summary", "search_top1"), "text"),
        ("search", ("reference_point", "ops"), "text"),
        ("finals", ("summary", "rungs"), 7),
        ("finals", ("summary", "rungs", 0, "entrants", 0, "loss"), "text"),
        ("finals", ("summary", "difference"), []),
        ("retraining", ("versions",), []),
        ("retraining", ("command",), [1, 2]),
        ("retraining", ("summary", "networks", 0, "test_top1"), "text"),
        ("retraining", ("config", "data", "name"), 7),
    ],
)
def test_text_in_place_of_a_number_is_damage(
    made: Path,
    kind: str,
    place: tuple[Any, ...],
    value: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    file = Path(kind, "manifest.json")
    file.write_text(json.dumps(replaced(json.loads(file.read_text()), place, value)))
    lines = [*READERS[kind], *(["pack retraining -o p.evobit"] if kind == "retraining" else [])]
    for line in lines:
        code = run(line.split())
        printed = capsys.readouterr().err
        assert code in (0, 2) and "raceback" not in printed, (line, printed)
        assert code == 0 or "damaged" in printed.splitlines()[-1] or "manifest.json" in printed

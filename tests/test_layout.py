"""The floors of the house: who may import whom, read from the source; what light modules load.

`python -m tests.test_layout` prints the floors of every folder as they stand.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.rooms import (
    FACE,
    Source,
    arrows,
    back_up,
    floors,
    folders,
    imports_of,
    loading_torch,
    picture,
    rooms,
    through_faces,
)

ROOT = Path(__file__).resolve().parent.parent

# Between packages: from the ground up, and what each may import. `search` and `evaluate` meet in
# files alone.
ALLOWED = {
    "supernet": set(),
    "training": {"supernet"},
    "deploy": {"supernet"},
    "latency_tables": {"deploy", "supernet"},
    "search": {"latency_tables", "deploy", "training", "supernet"},
    "evaluate": {"supernet", "training", "deploy", "latency_tables"},
    "evobit": {"supernet", "training", "search", "latency_tables", "deploy", "evaluate"},
}

# Inside a package: the imports between the rooms of a folder, those in functions too, form no
# circle; so its rooms stand on floors, and no import goes back up. Nothing is written down here:
# a new room finds its floor by what it imports.

# The torch-free wall: importing one of these loads no torch, whatever it imports in turn.
WITHOUT_TORCH = (
    *(
        f"supernet/{name}.py"
        for name in (
            "architecture",
            "architecture_file",
            "binarization",
            "candidate",
            "history_file",
            "lazy",
            "plugins",
            "rank_correlation",
            "space",
        )
    ),
    "supernet/files/*.py",
    "supernet/spec/*.py",
    "supernet/costs/*.py",
    "supernet/charts/*.py",
    "supernet/spaces/*.py",
    "supernet/networks/*.py",
    "training/run_files/same_run.py",
    "search/limits/config.py",
    "search/objectives.py",
    "search/searchers/*.py",
    "evaluate/audit/bands.py",
    "evaluate/audit/noise.py",
    "evaluate/audit/ranking.py",
    "evaluate/audit/resampling.py",
)
IMPORT_RAY = ("search/pools/ray_pool.py", "training/processes/ray_session.py")


@cache
def house() -> Source:
    """Every module of the seven packages."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for package in ALLOWED
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def violations(path: str, text: str) -> list[str]:
    """What the file at `path` (relative to the checkout) imports and must not."""
    found = set()
    package = path.split("/")[0]
    for module, line, at_top in imports_of(text):
        top, name = module.split(".")[0], module.split(".")[-1]
        where = f"{path}:{line}: "
        if not top:
            found.add(f"{where}{module} is relative; expected the whole path")
        if top in ALLOWED and top not in {package, *ALLOWED[package]}:
            may = ", ".join(sorted(ALLOWED[package])) or "no other package"
            found.add(f"{where}{package} must not import {top}; expected: {may}")
        if top in ALLOWED and name.startswith("_"):
            found.add(f"{where}{name} is private to its file; expected a public name")
        if top == "evaluate" and package == "evobit":
            if at_top or not path.startswith("evobit/commands/"):
                found.add(f"{where}evaluate is imported in the commands' functions alone")
        if top == "ray" and path not in IMPORT_RAY:
            found.add(f"{where}only {' and '.join(IMPORT_RAY)} import ray")
        if module.startswith("training.data.test_part") and package != "evaluate":
            found.add(f"{where}only evaluate opens the test part")
    return sorted(found)


def test_the_light_modules_exist():
    assert [pattern for pattern in WITHOUT_TORCH if not list(ROOT.glob(pattern))] == []


def test_every_module_keeps_the_import_rules():
    assert len(house()) > 20
    found = [one for path, text in house().items() for one in violations(path, text)]
    assert found == [], "\n".join(found)


def test_no_import_goes_back_up_between_the_rooms_of_a_folder():
    found = back_up(house())
    assert found == [], "\n".join(found)


def test_no_room_imports_the_face_of_its_own_folder():
    found = through_faces(house())
    assert found == [], "\n".join(found)


def test_the_light_modules_import_none_that_load_torch():
    found = loading_torch(house(), WITHOUT_TORCH)
    assert found == [], "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("supernet/costs.py", "from training.data import DataConfig", "supernet must not import"),
        ("search/run.py", "def f():\n    import evaluate.report", "search must not import"),
        ("search/run.py", "import ray", "only search/pools/ray_pool.py and"),
        ("evobit/main.py", "def f():\n    import evaluate.report", "commands' functions alone"),
        ("evobit/commands/x.py", "import evaluate.report", "commands' functions alone"),
        ("training/loop.py", "def f():\n    from training.data import test_part", "test part"),
        ("training/loop.py", "from training.seeds import _mix", "training/loop.py:1: _mix is"),
        ("training/loop.py", "from .seeds import mix", ".seeds.mix is relative"),
    ],
)
def test_a_planted_violation_is_reported(path, source, complaint):
    assert len(violations(path, source)) == 1
    assert complaint in violations(path, source)[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("evobit/commands/x.py", "def f():\n    from evaluate.report import report"),
        ("evaluate/score.py", "from training.data.test_part import open_test_data"),
        ("supernet/space.py", "from torch.nn import _reduction"),
    ],
)
def test_what_is_allowed_is_not_reported(path, source):
    assert violations(path, source) == []


LIGHT = "supernet/spaces/x.py"


@pytest.mark.parametrize(
    ("source", "where", "way"),
    [
        ({LIGHT: "try:\n    import torch\nexcept E:\n    pass"}, f"{LIGHT}:2: ", LIGHT),
        (
            {LIGHT: "import supernet.a", "supernet/a.py": "from torch import nn"},
            "supernet/a.py:1: ",
            f"{LIGHT} -> supernet/a.py",
        ),
        (
            {LIGHT: "", f"supernet/{FACE}": "import torchvision"},
            f"supernet/{FACE}:1: ",
            f"{LIGHT} -> supernet/{FACE}",
        ),
    ],
)
def test_a_planted_torch_is_reported_with_its_way(source, where, way):
    (found,) = loading_torch(source, WITHOUT_TORCH)
    assert found.startswith(where)
    assert f"loads no torch: {way} -> torch; expected" in found


@pytest.mark.parametrize(
    "text", ["if TYPE_CHECKING:\n    from torch import Tensor", "def f():\n    import torch"]
)
def test_torch_where_it_is_used_is_not_reported(text):
    assert loading_torch({LIGHT: text}, WITHOUT_TORCH) == []


CIRCLES = [
    {"search/a.py": "import search.b", "search/b.py": "def f():\n    from search.a import x"},
    {"search/x/a.py": "import search.x.b", "search/x/b.py": "from search.x import a"},
    {
        "search/a.py": "import search.x.b",
        "search/x/b.py": "",
        "search/x/c.py": "\nimport search.a",
    },
]


@pytest.mark.parametrize("source", CIRCLES)
def test_a_planted_circle_is_reported_with_its_imports(source):
    (found,) = back_up(source)
    first, *ties = found.split("\nthe floors")[0].splitlines()
    assert first.split(": ")[0] in ("search/", "search/x/")
    assert len(ties) == 2
    assert {tie.split(":")[0].strip() for tie in ties} <= source.keys()


def test_a_face_is_no_room_and_a_type_is_no_import():
    typing = "if TYPE_CHECKING:\n    import search.b"
    source = {"search/a.py": typing, "search/b.py": "import search.a"}
    assert back_up({**source, f"search/{FACE}": "from search.b import x"}) == []


def test_floors_are_counted_from_the_ground():
    source = {"a/x.py": "import a.y\nimport a.z.u", "a/y.py": "import a.z.u", "a/z/u.py": ""}
    assert floors(rooms(source, "a", arrows(source))) == [["z/"], ["y"], ["x"]]


def test_an_import_through_its_own_face_is_reported():
    source = {f"a/{FACE}": "", f"a/b/{FACE}": "", "a/b/c.py": "from a.b import X", "a/d.py": ""}
    assert [one.split(":")[0] for one in through_faces(source)] == ["a/b/c.py"]
    assert through_faces({**source, "a/b/c.py": "from a import d", "a/d.py": "import a.b"}) == []


def test_light_modules_load_no_torch_and_no_ray():
    light = [
        "supernet.costs",
        "supernet.layers",
        "supernet.spaces",
        "evobit.main",
        "evobit.config",
        "evobit.watch.watching",
    ]
    light += ["training", "search", "deploy", "latency_tables"]
    code = (
        f"import sys\nfor name in {light}: __import__(name)\n"
        "print(*[name for name in ('torch', 'ray', 'pandas', 'torchvision', 'evaluate') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_help_waits_for_no_library():
    """`evobit --help` imports typer and the commands' signatures: a tenth of a second."""
    code = (
        "import sys, evobit.main\n"
        "print(*[name for name in ('numpy', 'pydantic', 'yaml', 'PIL', 'rich') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


if __name__ == "__main__":
    for folder in folders(house()):
        print(f"{folder}/", *picture(rooms(house(), folder, arrows(house()))), sep="\n")

"""What a folder holds and what it is called: few files, each on the folder's map, good names.

Who may import whom is in `test_layout.py`.
"""

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.rooms import FACE, Source, folders, folders_of, rooms
from tests.test_layout import ALLOWED, ROOT, house

MOST_FILES = 16
"""Python files flat in a folder, its `__init__` counted."""

MAP_LINES = range(3, 11)
"""Lines of the docstring of a folder's `__init__`: its map, which names every room."""

# Folders with one file for each of a kind that grows: they say so ("one file a layer") instead of
# naming each, and may hold more files than others.
ONE_FILE_A = {
    "deploy/exporters": "format",
    "evaluate/html_report/plots": "subject",
    "evobit/commands": "family",
    "search/searchers": "searcher",
    "supernet/blocks": "block",
    "supernet/layers": "layer",
    "supernet/networks": "paper",
    "supernet/spaces": "space",
}

# A file name stands once in the tree, so that it is one idea; but these are roles, and a folder
# may have each of them.
ROLES = {
    "config": "what a user asks for, as it stands in a config",
    "plan": "what a run will do, before it does it; the plan of a packed network",
    "run": "a stage from its settings to its files",
    "report": "what a stage found, in words and tables",
    "loop": "the steps of a stage, from where it was left to its end",
    "build": "makes what a config names",
    "network": "a whole network as the folder sees it: spec, module, lowered, described",
    "reference": "in plain numpy what the folder's kernels compute, for comparison",
    "table": "what a folder is about, as a table: costs, latencies",
    "scorer": "scores architectures: with a supernet's weights, as a search's config asks",
}
# In these folders a file is named after what it calls, draws, builds or lowers elsewhere.
NAMED_AFTER = (
    "evobit/commands",
    "evaluate/html_report/facts",
    "evaluate/html_report/plots",
    "supernet/blocks",
    "deploy/lowering",
)


def crowded(source: Source) -> list[str]:
    """Folders with more files than one takes in at a glance."""
    found = []
    for folder in folders(source):
        files = [path for path in source if folders_of(path)[0] == folder]
        if len(files) > MOST_FILES and folder not in ONE_FILE_A:
            found.append(f"{folder}/: {len(files)} files flat; expected at most {MOST_FILES}")
    return found


def off_the_map(source: Source) -> list[str]:
    """Where the docstring of a folder's face is no map of its rooms."""
    found = []
    for folder in folders(source):
        text = ast.get_docstring(ast.parse(source.get(f"{folder}/{FACE}", ""))) or ""
        where = f"{folder}/{FACE}:1: "
        lines, kind = len(text.splitlines()), ONE_FILE_A.get(folder)
        named = set(re.findall(r"`(\w+/?)`", text))
        below = [
            path.removeprefix(f"{folder}/") for path in source if path.startswith(f"{folder}/")
        ]
        there = {Path(path).stem for path in below} | set(ALLOWED)
        if lines not in MAP_LINES and (kind is None or lines not in (1, 2)):
            found.append(
                f"{where}the map has {lines} lines; expected {MAP_LINES[0]} to {MAP_LINES[-1]}"
            )
        if kind is not None and f"one file a {kind}" not in text:
            found.append(f"{where}the map says no 'one file a {kind}'; expected it")
        for room in sorted(rooms(source, folder, []) if kind is None else ()):
            if room not in named and not room.startswith("__"):
                found.append(f"{where}the map leaves out {room}; expected every room as `name`")
        for name in sorted(named - there):
            if not name.endswith("/"):  # A folder may hold no Python.
                found.append(f"{where}the map names {name}, and there is none; expected its rooms")
    return found


def badly_named(source: Source) -> list[str]:
    """Names of Python's own modules, and names that stand for two ideas."""
    found = []
    homes = defaultdict(set)
    for path in source:
        stem = Path(path).stem
        if stem in sys.stdlib_module_names or Path(path).parent.name in sys.stdlib_module_names:
            found.append(f"{path}: Python has a module of this name; expected another")
        if stem not in {*ROLES, "__init__", "__main__"} and folders_of(path)[0] not in NAMED_AFTER:
            homes[stem].add(path)
    for stem, paths in sorted(homes.items()):
        if len(paths) > 1:
            found.append(f"{stem}.py: {', '.join(sorted(paths))}; expected one file of this name")
    return found


def complaints(source: Source) -> list[str]:
    """All of them."""
    return crowded(source) + off_the_map(source) + badly_named(source)


def test_every_folder_is_small_mapped_and_well_named():
    found = complaints(house())
    assert found == [], "\n".join(found)


def test_the_exceptions_exist():
    assert {*ONE_FILE_A, *NAMED_AFTER} <= set(folders(house()))
    stems = [Path(path).stem for path in house()]
    assert [role for role in ROLES if stems.count(role) < 2] == []


MAP = '"""Rooms.\n\n`b` is one, `c/` another.\n"""'
INNER = '"""Inner rooms.\n\n`d` is one.\n"""'
SMALL = {f"a/{FACE}": MAP, "a/b.py": "", f"a/c/{FACE}": INNER, "a/c/d.py": ""}


def test_a_small_house_is_not_reported():
    run = {f"a/c/{FACE}": INNER.replace("`d`", "`d`, `run`"), "a/c/run.py": ""}
    also = {f"a/{FACE}": MAP.replace("`b`", "`b`, `run`"), "a/run.py": ""}
    assert complaints({**SMALL, **run, **also}) == []


@pytest.mark.parametrize(
    ("planted", "complaint"),
    [
        ({"a/e.py": ""}, f"a/{FACE}:1: the map leaves out e; expected"),
        ({"a/e/f.py": ""}, f"a/e/{FACE}:1: the map has 0 lines; expected 3 to 10"),
        ({f"a/{FACE}": MAP.replace(" one", " `e`")}, f"a/{FACE}:1: the map names e, and there"),
        ({f"a/{FACE}": MAP.replace("\n\n", "")}, f"a/{FACE}:1: the map has 1 lines; expected 3"),
        ({f"a/{FACE}": MAP.replace("\n", 9 * "\n")}, f"a/{FACE}:1: the map has 19 lines; expect"),
        ({f"supernet/layers/{FACE}": ""}, f"supernet/layers/{FACE}:1: the map has 0 lines"),
        ({f"supernet/layers/{FACE}": INNER}, f"supernet/layers/{FACE}:1: the map says no 'one f"),
        ({"a/c/b.py": ""}, "b.py: a/b.py, a/c/b.py; expected one file of this name"),
        ({"a/c/html.py": ""}, "a/c/html.py: Python has a module of this name; expected another"),
        ({f"a/json/{FACE}": INNER}, f"a/json/{FACE}: Python has a module of this name"),
    ],
)
def test_a_planted_fault_is_reported(planted, complaint):
    found = complaints({**SMALL, **planted})
    assert len([one for one in found if one.startswith(complaint)]) == 1


def test_a_seventeenth_file_is_one_too_many_but_in_folders_of_a_kind():
    names = [*(f"room{number}.py" for number in range(16)), FACE]
    assert len(crowded({f"a/{name}": "" for name in names[1:]})) == 0
    assert len(crowded({f"a/{name}": "" for name in names})) == 1
    assert len(crowded({f"supernet/layers/{name}": "" for name in names})) == 0


def test_the_tests_mirror_the_packages():
    where = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    inside = [path for path in where if path.parts and path.parts[0] in ALLOWED]
    assert [path.as_posix() for path in inside if not (ROOT / path).is_dir()] == []

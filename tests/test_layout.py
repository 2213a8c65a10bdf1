"""Who may import whom, read from the source; and what the light modules load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "supernet": set(),
    "training": {"supernet"},
    "deploy": {"supernet"},
    "latency_tables": {"deploy", "supernet"},
    "search": {"latency_tables", "deploy", "training", "supernet"},
    "evaluate": {"supernet", "training", "deploy", "latency_tables"},
    "evobit": {"supernet", "training", "search", "latency_tables", "deploy", "evaluate"},
}
WITHOUT_TORCH = (
    *(
        f"supernet/{name}.py"
        for name in (
            "architecture",
            "architecture_file",
            "binarization",
            "candidate",
            "files",
            "history_file",
            "image_file",
            "lazy",
            "plugins",
            "space",
        )
    ),
    "supernet/spec/*.py",
    "supernet/costs/*.py",
    "supernet/charts/*.py",
    "supernet/spaces/*.py",
    "supernet/networks/*.py",
    "search/limits/constraints.py",
    "search/results/front.py",
    "search/searchers/*.py",
    "evaluate/audit/ranking.py",
)

IMPORT_RAY = ("search/pools/ray_pool.py", "training/processes/ray_session.py")
IMPORT_RAY = ("search/pools/ray_pool.py", "training/processes/ray_session.py")


class Import(NamedTuple):
    """One import: the module, its line, and whether it runs when the file is imported."""

    module: str
    line: int
    at_top: bool


def imports(tree: ast.AST, at_top: bool = True) -> Iterator[Import]:
    """All imports, those under `if TYPE_CHECKING` left out; `from a import b` gives a and a.b."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or "."
            yield Import(module, node.lineno, at_top)
            yield from (Import(f"{module}.{a.name}", node.lineno, at_top) for a in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imports(ast.Module(node.orelse, []), at_top)
        else:
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imports(node, at_top and not inside)


def violations(path: str, source: str) -> list[str]:
    """What the file at `path` (relative to the checkout) imports and must not."""
    found = set()
    package = path.split("/")[0]
    light = any(Path(path).match(pattern) for pattern in WITHOUT_TORCH)
    for module, line, at_top in imports(ast.parse(source)):
        top = module.split(".")[0]
        where = f"{path}:{line}: "
        if top in ALLOWED and top not in {package, *ALLOWED[package]}:
            found.add(f"{where}{package} must not import {top}")
        if top == "evaluate" and package == "evobit":
            if at_top or not path.startswith("evobit/commands/"):
                found.add(f"{where}evaluate is imported in the commands' functions alone")
        if top == "ray" and path not in IMPORT_RAY:
            found.add(f"{where}only {' and '.join(IMPORT_RAY)} import ray")
        if module.startswith("training.data.test_part") and package != "evaluate":
            found.add(f"{where}only evaluate opens the test part")
        if light and at_top and top in ("torch", "torchvision"):
            found.add(f"{where}this module loads no torch")
    return sorted(found)


def sources() -> list[Path]:
    """Every module of the seven packages."""
    return [path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))]


def test_the_light_modules_exist():
    assert [pattern for pattern in WITHOUT_TORCH if not list(ROOT.glob(pattern))] == []


def test_every_module_keeps_the_import_rules():
    assert len(sources()) > 20
    found = [
        violation
        for path in sources()
        for violation in violations(path.relative_to(ROOT).as_posix(), path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("supernet/costs.py", "from training.data import DataConfig", "supernet must not import"),
        ("search/run.py", "def f():\n    import evaluate.report", "search must not import"),
        ("search/run.py", "import ray", "only search/pools/ray_pool.py and"),
        ("evobit/main.py", "def f():\n    import evaluate.report", "commands' functions alone"),
        ("evobit/commands/x.py", "import evaluate.report", "commands' functions alone"),
        ("training/loop.py", "def f():\n    from training.data import test_part", "test part"),
        ("supernet/spaces/x.py", "try:\n    import torch\nexcept E:\n    pass", "no torch"),
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
        ("supernet/files.py", "if TYPE_CHECKING:\n    from torch import Tensor"),
        ("supernet/files.py", "def f():\n    import torch"),
    ],
)
def test_what_is_allowed_is_not_reported(path, source):
    assert violations(path, source) == []


def test_light_modules_load_no_torch_and_no_ray():
    light = [
        "supernet.costs",
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

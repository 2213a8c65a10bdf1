"""Building the kernels: the sources are all named, and no compiler is no error."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.kernels.library import VERSION

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "deploy" / "native"


def copy_of_the_checkout(to: Path) -> Path:
    """What a build of the kernels needs."""
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, to)
    (to / "setup.cfg").write_text("[metadata]\nname = evobit\n[options]\npackages = deploy\n")
    shutil.copytree(ROOT / "deploy", to / "deploy", ignore=shutil.ignore_patterns("*.so"))
    return to


def test_setup_names_every_source_and_header():
    setup = (ROOT / "setup.py").read_text()
    missing = [path.name for path in NATIVE.iterdir() if path.stem not in setup]
    assert missing == []


def test_library_and_binding_have_one_version():
    assert f"EVOBIT_VERSION = {VERSION} " in (NATIVE / "evobit.h").read_text()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="names a compiler as POSIX does")
def test_without_a_compiler_the_build_succeeds_and_leaves_no_library(tmp_path):
    checkout = copy_of_the_checkout(tmp_path)
    done = subprocess.run(
        [sys.executable, "setup.py", "build"],
        cwd=checkout,
        env={**os.environ, "CC": "/bin/false", "CXX": "/bin/false"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'building extension "deploy._kernels" failed' in done.stderr
    assert list((checkout / "build").rglob("packed_file.py")) != []
    assert list((checkout / "build").rglob("_kernels*")) == []


def test_a_machine_with_a_compiler_runs_the_compiled_kernels():
    """Also where CI runs: a slow fallback must not pass for the engine."""
    from deploy.kernels.library import backend_info
    from training.compilation import find_compiler

    if find_compiler() is None and os.environ.get("EVOBIT_REQUIRE_NATIVE") != "1":
        pytest.skip("no C++ compiler")
    assert backend_info()["backend"] == "native"

"""The seven packages are the installed ones, and the program starts."""

import configparser
import subprocess
import sys
from pathlib import Path

from evobit import checks

ROOT = Path(__file__).resolve().parent.parent


def test_the_seven_names_lead_to_this_checkout():
    assert checks.CHECKOUT == ROOT
    assert checks.intruders() == {}


def test_another_package_of_that_name_is_named(tmp_path, monkeypatch):
    stranger = tmp_path / "evobit_stranger_evaluate"
    stranger.mkdir()
    (stranger / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(checks, "PACKAGES", ("supernet", "evobit_stranger_evaluate", "evobit_no"))
    assert checks.intruders() == {
        "evobit_stranger_evaluate": str(stranger / "__init__.py"),
        "evobit_no": "nowhere",
    }


def test_setup_cfg_installs_exactly_these():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    included = setup["options.packages.find"]["include"].split()
    assert sorted(included) == sorted([*checks.PACKAGES, *(f"{p}.*" for p in checks.PACKAGES)])


def test_every_package_folder_has_an_init():
    for name in checks.PACKAGES:
        folders = {path.parent for path in (ROOT / name).rglob("*.py")}
        assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_init_in_tests_and_no_code_in_configs():
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    assert list((ROOT / "configs").rglob("*.py")) == []


def test_python_dash_m_evobit_prints_help():
    done = subprocess.run(
        [sys.executable, "-m", "evobit", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "train-supernet" in done.stdout
    assert done.stderr == ""

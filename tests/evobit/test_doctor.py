"""`evobit doctor`: it finds what is here, and says what is missing."""

import json
import sys
from types import ModuleType

import pytest

from evobit import checks
from evobit.main import run


def found(capsys, code, *options):
    assert run(["doctor", "--json", *options]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_versions_devices_and_packages(capsys):
    report = found(capsys, 0, "--no-ray")
    assert report["ok"] and report["missing"] == []
    assert {"torch", "ray", "cpu cores", "cuda", "free disk", "c++ compiler"} <= set(
        report["checks"]
    )
    assert report["checks"]["packages"]["ok"]


def test_what_is_needed_and_missing_gives_code_1(capsys, monkeypatch):
    stranger = ModuleType("search.pools.ray_pool")

    def cannot_start():
        raise RuntimeError("no room for the object store")

    stranger.check_start = cannot_start
    monkeypatch.setitem(sys.modules, "search.pools.ray_pool", stranger)
    monkeypatch.setattr(checks, "intruders", lambda: {"evaluate": "/elsewhere/evaluate"})
    monkeypatch.setattr(checks, "versions", lambda: iter(()))
    report = found(capsys, 1)
    assert {"packages", "ray start"} <= set(report["missing"])
    assert "/elsewhere/evaluate" in report["checks"]["packages"]["found"]
    assert "no room for the object store" in report["checks"]["ray start"]["found"]
    assert run(["doctor"]) == 1
    assert "MISSING" in capsys.readouterr().out


@pytest.mark.ray
@pytest.mark.slow
def test_a_real_ray_starts_and_stops():
    (check,) = checks.ray_start()
    assert check.ok, check.found

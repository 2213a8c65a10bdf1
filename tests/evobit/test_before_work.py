"""What can be known before any work is refused, or foretold, before it."""

import json
import sys
from pathlib import Path

import pytest

from evaluate.estimate import rehearsal
from evobit.main import run

SMALL = [
    *("space.stages=[[16,1,1],[32,1,2]]", "space.image_size=16", "data.image_size=16"),
    *("supernet.epochs=1", "supernet.compile=off", "retrain.epochs=1", "retrain.compile=off"),
    *("search.max_ops=null", "search.workers=0", "retrain.workers=0", "retrain.seeds=1"),
    *("finals.workers=0",),
]
DEMO = str(Path(__file__).resolve().parents[2] / "configs" / "demo.yaml")


def words(*changes: str) -> list[str]:
    return [word for change in (*SMALL, *changes) for word in ("--set", change)]


@pytest.mark.parametrize(
    ("command", "section"),
    [
        (["search", DEMO, "--run", "r", "--supernet", "."], "search"),
        (["search", DEMO, "--run", "r", "--dry-run"], "search"),
        (["demo", "--run", "r"], "search"),
        (["demo", "--run", "r"], "finals"),
        (["demo", "--run", "r"], "retrain"),
    ],
)
def test_more_workers_than_cores_are_refused_at_once(
    command: list[str],
    section: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if "ray" in sys.modules:  # another test's Ray, whose cores are not this machine's
        monkeypatch.setattr(sys.modules["ray"], "is_initialized", lambda: False)
    assert run([*command, *words(f"{section}.workers=999")]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"evobit: {section}.workers is 999 of 1 thread each: this machine has ")
    assert out == "" and not Path("r").exists()


@pytest.mark.slow
def test_a_dry_demo_says_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rehearsal, "SECONDS", 0.1)
    assert run(["demo", "--run", "r", "--dry-run", "--json", *words()]) == 0
    found = json.loads(capsys.readouterr().out)
    stages = [found[name] for name in ("supernet", "search", "finals", "retrain")]
    assert found["time_s"] == pytest.approx(sum(one["time_s"] for one in stages), abs=0.2)
    assert found["disk_bytes"] == sum(one["disk_bytes"] for one in stages) > 0
    assert all(one["threads"] == 1 and "load" in one["machine"] for one in stages)
    assert not Path("r").exists()

"""`evobit watch`: a run that works, one that was killed, one that ended; and what is no run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from evobit.commands.watch import _duration, _lines
from evobit.main import run
from evobit.watching import Watch, Watched
from training.progress import PROGRESS_FILE, Progress
from training.run_folder import RunFolder

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> dict:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    return stages


def test_a_run_that_works_is_killed_and_ends(
    config: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "evobit", "train-supernet", "tiny.yaml", "--run", "runs/s"]
    command += ["--set", "supernet.epochs=4000", "--set", "supernet.compile=off"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)}
    driver = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not Path("runs/s", PROGRESS_FILE).exists():
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        watching = Watch(Path("runs"))
        seen = watching.look()[0]
        assert (seen.stage, seen.state) == ("supernet", "running")
        assert seen.progress[0]["label"] == "supernet"
        assert seen.progress[0]["total"] == 32_000  # 128 images / 16 = 8 steps, 4,000 epochs
        assert 0 < seen.progress[0]["done"] < 32_000
        assert seen.progress[0]["pid"] == driver.pid
        assert seen.seconds_left is not None and seen.seconds_left > 0
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert watching.look()[0].state == "stopped"
    assert run(["watch", "runs", "--once"]) == 0
    text = capsys.readouterr().out
    assert "runs/s: supernet, stopped; the same command resumes it" in text
    assert " of 32,000 (" in text and " left" not in text


def test_a_search_that_ended_says_its_best(
    config: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train-supernet", "tiny.yaml"]) == 0
    assert run(["search", "tiny.yaml"]) == 0
    capsys.readouterr()
    assert run(["watch", "runs", "--json"]) == 0
    supernet, search = json.loads(capsys.readouterr().out)["runs"]
    assert (supernet["stage"], supernet["state"]) == ("supernet", "finished")
    assert search["state"] == "finished" and search["progress"] == []
    assert search["workers"] == 0
    summary = search["summary"]
    assert search["best"]["top1"] == summary["search_top1"]
    assert search["best"]["costs"]["ops"] == summary["ops"]
    assert not list(Path("runs").glob(f"*/{PROGRESS_FILE}"))
    assert run(["watch", "runs/tiny-search"]) == 0  # it ended: nothing to wait for
    assert f"best top-1 {summary['search_top1']:.2f} %, candidate" in capsys.readouterr().out


def test_runs_begun_within_one_second_come_in_the_order_of_their_beginning(tmp_path: Path) -> None:
    for name in ("b", "a"):
        RunFolder.open(tmp_path / name, "search", {})
    assert [Path(one.path).name for one in Watch(tmp_path).look()] == ["b", "a"]


def test_a_torn_line_is_read_once_it_is_whole(config: dict) -> None:
    assert run(["train-supernet", "tiny.yaml"]) == 0
    assert run(["search", "tiny.yaml"]) == 0
    history = Path("runs/tiny-search/history.jsonl")
    whole = history.read_bytes()
    lines = whole.splitlines(keepends=True)
    history.write_bytes(lines[0] + lines[1][:20])
    watching = Watch(history.parent)
    assert watching.look()[0].best["index"] == 0
    history.write_bytes(whole)
    best = max(map(json.loads, lines), key=lambda line: line["top1"])
    assert watching.look()[0].best["top1"] == best["top1"]


def test_what_is_no_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["watch", "nowhere"]) == 2
    assert "nowhere: not found, expected a run folder" in capsys.readouterr().err
    Path("empty").mkdir()
    assert run(["watch", "empty"]) == 2
    assert "it has no manifest.json" in capsys.readouterr().err


def test_progress_is_written_until_the_work_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.progress.SECONDS_BETWEEN_FILES", 0.0)
    file = tmp_path / PROGRESS_FILE
    with Progress("search", 3, 1, tmp_path) as progress:
        progress.advance(best_top1=50.0)
        document = json.loads(file.read_bytes())
        assert (document["done"], document["total"]) == (2, 3)
        assert document["numbers"] == {"best_top1": 50.0}
        assert document["seconds_left"] == pytest.approx(1 / document["per_second"], abs=0.06)
        progress.advance()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError):
        with Progress("search", 3, 0, tmp_path) as progress:
            progress.advance()
            raise ValueError
    assert file.exists()


def test_a_folder_that_cannot_be_written_does_not_end_the_work(tmp_path: Path) -> None:
    with Progress("search", 2, 0, tmp_path / "gone") as progress:
        progress.advance()


def test_times_and_bars_read_well() -> None:
    assert [_duration(s) for s in (7.4, 200, 7500)] == ["7 s", "3 min 20 s", "2 h 5 min"]
    part = {
        "label": "search",
        "done": 50,
        "total": 200,
        "per_second": 2.0,
        "seconds_left": 75.0,
        "numbers": {"best_top1": 81.5},
    }
    seen = Watched("runs/s", "search", "running", [part], workers=2)
    assert _lines(seen) == [
        "runs/s: search, running",
        f"  {'search':<20} [{'#' * 8}{' ' * 22}] 50 of 200 (25%), 2/s, 1 min 15 s left, "
        "best_top1 81.5",
        "  2 Ray workers",
    ]

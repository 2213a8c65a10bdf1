"""`evobit watch`: a run that works, one that was killed, one that ended; and what is no run."""

import json
import time
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from evobit.commands.watch import _duration, _lines
from evobit.main import run
from evobit.watch.mirror import Mirror
from evobit.watch.mlflow_run import STATUS
from evobit.watch.watching import Watch, Watched
from supernet.candidate import Candidate, best
from supernet.spaces.mobilenet_groups import MobileNetGroups
from tests.processes import begin, command
from training.loop.interrupt import InterruptRequest
from training.run_files.folder import RunFolder
from training.run_files.progress import PROGRESS_FILE, Progress, read_progress


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stages: dict) -> dict:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(stages))
    return stages


def test_a_run_that_works_is_killed_and_ends(
    config: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train-supernet", "tiny.yaml", "--run", "runs/s"]
    words += ["--set", "supernet.epochs=4000", "--set", "supernet.compile=off"]
    driver = begin(command, words)
    try:
        deadline = time.monotonic() + 60
        while not (found := read_progress(Path("runs/s"))) or not found["done"]:
            assert driver.is_alive() and time.monotonic() < deadline
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
        driver.kill()
        driver.join()
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


def test_of_equals_the_best_is_the_one_that_the_search_takes(
    tmp_path: Path, tiny_space: MobileNetGroups
) -> None:
    scores = [(70.0, 5), (80.0, 9), (80.0, 7), (80.0, 7), (80.0, 7), (80.0, 8), (60.0, 1)]
    for turn in range(len(scores)):  # each order of arrival, so that no id decides by chance
        drawn = [tiny_space.architecture(dict(one)) for one in _some_choices(tiny_space)]
        candidates = [
            Candidate(number, drawn[number], {"ops": ops}, top1, 0, "random")
            for number, (top1, ops) in enumerate(scores[turn:] + scores[:turn])
        ]
        folder = RunFolder.open(tmp_path / f"r{turn}", "search", {})
        lines = [candidate.to_json() + "\n" for candidate in candidates]
        folder.path.joinpath("history.jsonl").write_text("".join(lines))
        assert Watch(folder.path).look()[0].best["index"] == best(candidates, 1)[0].index


def test_the_best_by_cross_entropy_is_told_with_both_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.open(tmp_path / "r", "search", {})
    lines = [
        {"index": 0, "top1": 80.0, "loss": 0.7, "loss_error": 0.02},
        {"index": 1, "top1": 75.0, "loss": 0.6, "loss_error": 0.01},
        {"index": 2, "top1": 90.0, "loss": 0.8, "loss_error": "none"},
    ]
    (folder.path / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert Watch(folder.path).look()[0].best == lines[1]
    assert run(["watch", str(folder.path), "--once"]) == 0
    said = "best cross-entropy 0.6000 ± 0.0100 nats, top-1 75.00 %, candidate 1"
    assert said in capsys.readouterr().out
    (folder.path / "history.jsonl").write_text(json.dumps(lines[2]) + "\n")
    assert Watch(folder.path).look()[0].best == {"index": 2, "top1": 90.0, "loss": 0.8}
    trained = RunFolder.open(tmp_path / "t", "retrain", {})
    trained.log("network", name="a", top1=80.0, loss=0.5)
    assert Watch(trained.path).look()[0].best == {"name": "a", "top1": 80.0}


def _some_choices(space: MobileNetGroups) -> list[dict]:
    names = [position.name for position in space.positions]
    rows = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (2, 2, 1), (1, 2, 2), (4, 4, 4)]
    return [dict(zip(names, row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    "damage",
    [
        {"costs": 3},
        {"costs": {"ops": "few"}},
        {"costs": {"ops": float("nan")}},
        {"architecture": [1]},
        {"architecture": {"a": {}}},
        {"costs": None, "architecture": None},
    ],
)
def test_a_damaged_line_comes_after_its_equals(tmp_path: Path, damage: dict) -> None:
    whole = {"top1": 80.0, "costs": {"ops": 9}, "architecture": {"a": 1}}
    worse = {"index": 2, "top1": 79.0, "costs": {"ops": 1}, "architecture": {"a": 1}}
    lines = [{"index": 0, **whole, **damage}, {"index": 1, **whole}, worse]
    folder = RunFolder.open(tmp_path / "r", "search", {})
    history = folder.path / "history.jsonl"
    history.write_text(json.dumps(lines[0]) + "\n")
    watching = Watch(folder.path)
    assert watching.look()[0].best["index"] == 0
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert watching.look()[0].best["index"] == 1


def test_of_equal_retrained_networks_the_first_is_named(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "r", "retrain", {})
    for name, top1 in (("b", 80.0), ("a", 80.0), ("c", 79.0)):
        folder.log("network", name=name, top1=top1)
    assert Watch(folder.path).look()[0].best == {"name": "b", "top1": 80.0}


def test_a_run_that_cannot_be_read_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("c", "b", "a"):
        RunFolder.open(Path("runs", name), "search", {})
    manifest = Path("runs/c/manifest.json")
    newer = {**json.loads(manifest.read_bytes()), "version": 9}
    manifest.write_text(json.dumps(newer))
    reason = "runs/c/manifest.json: format 'evobit/run' version 9; this program reads version 1"
    assert run(["watch", "runs", "--once"]) == 0
    assert capsys.readouterr().out.split("\n\n") == [
        "runs/b: search, stopped; the same command resumes it",
        "runs/a: search, stopped; the same command resumes it",
        f"runs/c: cannot be read: {reason}\n",
    ]
    assert run(["watch", "runs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [Path(one["path"]).name for one in found] == ["b", "a", "c"]
    assert (found[2]["state"], found[2]["reason"]) == ("unreadable", reason)
    assert run(["watch", "runs/c"]) == 2
    assert reason in capsys.readouterr().err


def test_a_tracker_gets_no_run_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = {}

    class Adapter:
        def __init__(self, path: Path) -> None:
            self.name = path.name

        def metrics(self, points: list) -> None:
            assert points == []

        def artifact(self, file: Path) -> None:
            assert file.name == "config.yaml"

        def end(self, state: str, summary: dict) -> None:
            ended[self.name] = state

    adapter = SimpleNamespace(begin=lambda path, parameters, began: Adapter(path))
    monkeypatch.setattr("evobit.watch.mirror.tracker", lambda name: adapter)
    monkeypatch.setattr("evobit.watch.watching._is_working", lambda path, progress: True)
    for name in ("a", "b", "c"):
        RunFolder.open(tmp_path / name, "search", {})
    (tmp_path / "c" / "manifest.json").write_text("{}")
    watching, mirror = Watch(tmp_path), Mirror("any")
    mirror.send(watching.look())
    assert ended == {}
    (tmp_path / "b" / "manifest.json").write_text("{}")
    mirror.send(watching.look())
    mirror.close(watching.look())
    assert ended == {"a": "running", "b": "unreadable"} and set(ended.values()) <= set(STATUS)


def test_training_that_was_stopped_at_once_says_its_step(
    config: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class AtOnce(InterruptRequest):
        def __init__(self) -> None:
            super().__init__()
            self.requested = True

    monkeypatch.setattr("training.loop.loop.InterruptRequest", AtOnce)
    command = ["train-supernet", "tiny.yaml", "--run", "r", "--set", "supernet.compile=off"]
    for step in (1, 2):  # the second goes on from the first
        assert run(command) == 1
        capsys.readouterr()
        assert run(["watch", "r", "--once"]) == 0
        # 128 images / 16 = 8 steps, 3 epochs
        assert f" {step} of 24 ({step / 24:.0%})" in capsys.readouterr().out


def test_stopped_without_a_progress_file_the_log_says_the_last_step(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "r", "supernet", {})
    folder.log("train", name="supernet", step=50, epoch=6.25, phase=1, loss=2.0)
    folder.log("started", threads=1)
    seen = Watch(folder.path).look()[0]
    assert _lines(seen)[1:] == ["  last logged: phase 1, step 50, epoch 6.25"]
    with Progress("supernet", 80, 50, folder.path):
        (first, second) = _lines(Watch(folder.path).look()[0])
    assert "last logged" not in second and second.endswith("50 of 80 (62%)")


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
    monkeypatch.setattr("training.run_files.progress.SECONDS_BETWEEN_FILES", 0.0)
    file = tmp_path / PROGRESS_FILE
    with Progress("search", 3, 1, tmp_path) as progress:
        progress.advance(best_top1=50.0)
        document = json.loads(file.read_bytes())
        assert (document["done"], document["total"]) == (2, 3)
        assert document["numbers"] == {"best_top1": 50.0}
        assert document["seconds_left"] == pytest.approx(1 / document["per_second"], abs=0.06)
        progress.advance()
    assert list(tmp_path.iterdir()) == []
    with Progress("search", 3, 3, tmp_path):
        assert list(tmp_path.iterdir()) == []  # nothing to do
    with pytest.raises(ValueError):
        with Progress("search", 3, 0, tmp_path) as progress:
            progress.advance()
            raise ValueError
    assert file.exists()


def test_progress_is_written_at_its_beginning_and_when_it_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with Progress("search", 9, 2, tmp_path) as progress:
            begun = read_progress(tmp_path)
            assert begun is not None
            assert (begun["done"], begun["per_second"], begun["seconds_left"]) == (2, 0, 0)
            seen = Watched("runs/s", "search", "running", [begun])
            assert seen.seconds_left is None
            assert _lines(seen)[1].endswith(" 2 of 9 (22%), starting")
            for loss in (0.5, 0.25):  # the second within two seconds of the first
                progress.advance(loss=loss)
            raise KeyboardInterrupt
    left = read_progress(tmp_path)
    assert left is not None
    assert (left["done"], left["numbers"]) == (4, {"loss": 0.25})


def test_a_network_in_eight_hours_has_a_rate(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with Progress("retrain", 8, 0, tmp_path) as progress:
            progress._began -= 8 * 3600
            progress.advance()
            raise KeyboardInterrupt
    slow = read_progress(tmp_path)
    assert slow is not None and slow["per_second"] == pytest.approx(1 / 28_800, rel=0.01)


def test_a_line_between_two_advances(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Progress("retrain", 8, 1) as progress:
        progress.say("[a] 450/1688 (27%)")
        lines = capsys.readouterr().err.splitlines()
        assert lines == ["retrain: goes on at 1/8", "retrain: 1/8 done; [a] 450/1688 (27%)"]
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("retrain", 8, 1) as progress:
        assert progress.is_on_terminal
        progress.say("[a] 450/1688 (27%)")
    assert "retrain: 1/8 done; [a] 450/1688 (27%)" in terminal.getvalue()


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


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


def test_a_stopped_training_shows_where_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.open(tmp_path / "r", "supernet", {})
    with Progress("supernet", 80, 10, folder.path) as progress:
        progress.keep()
        progress.advance(40)
    (_, line) = _lines(Watch(folder.path).look()[0])
    assert " 10 of 80 (12%)" in line and line.endswith(", kept of 50 done")
    assert "supernet: goes on at 10/80\n" in capsys.readouterr().err

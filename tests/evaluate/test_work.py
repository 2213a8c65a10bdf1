"""What runs cost by their logs: starts, pauses, cores."""

import json
from pathlib import Path

import pytest

from evaluate.work import Work, core_minutes, work_of_training


def events(*lines: tuple) -> list[dict]:
    return [{"time": time, "event": event, **more} for time, event, more in lines]


def test_core_minutes_leave_out_pauses() -> None:
    log = events(
        (0, "started", {"threads": 2}),
        (30, "train", {}),
        (60, "train", {}),
        (6000, "started", {"threads": 2}),  # resumed a while after it was killed
        (6090, "finished", {}),
    )
    assert core_minutes(log, None) == 2 * (60 + 90) / 60


@pytest.mark.parametrize(
    ("start", "threads", "cores"),
    [
        ({"workers": 0}, 1, 1),
        ({"workers": 3}, 2, 6),
        ({"threads": 2, "processes": 4}, None, 8),
        ({"threads": 8, "processes": 2, "device": "cuda"}, None, 2),
    ],
)
def test_cores(start: dict, threads: int | None, cores: int) -> None:
    assert core_minutes(events((0, "start", start), (60, "finished", {})), threads) == cores


def test_what_was_not_logged_is_not_known(tmp_path: Path) -> None:
    assert core_minutes([], 1) is None
    assert core_minutes(events((0, "start", {}), (60, "finished", {})), None) is None
    assert work_of_training(tmp_path, 16) == Work(None, None)
    assert Work.of_all([Work(1.0, 2), Work(None, 3)]) == Work(None, 5)
    assert Work.of_all([Work(1.0, 2), Work(0.5, 3)]) == Work(1.5, 5)


def test_steps_trained_again_count_once(tmp_path: Path) -> None:
    log = events(
        (0, "started", {"threads": 1}),
        (1, "train", {"step": 50, "phase": 1}),
        (2, "started", {"threads": 1}),
        (3, "train", {"step": 50, "phase": 1}),
        (4, "train", {"step": 60, "phase": 1}),
        (5, "train", {"step": 20, "phase": 2}),
        (6, "trained", {}),
    )
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    assert work_of_training(tmp_path, 16) == Work(pytest.approx((1 + 4) / 60), 16 * (60 + 20))

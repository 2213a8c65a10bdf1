"""A run folder may come from a stranger: no link in it lets a file outside be written."""

import os
from pathlib import Path

import pytest
import yaml

from evobit.main import run
from supernet.files import UserError, open_to_append
from supernet.history_file import History
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.run_files.folder import RunFolder
from training.run_files.progress import Progress

SECRET = "what is nobody's business\n"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.write_text(SECRET)
    return path


@pytest.mark.parametrize("name", [".lock", "log.jsonl"])
def test_files_of_a_run_are_no_links(tmp_path: Path, outside: Path, name: str) -> None:
    folder = RunFolder.open(tmp_path / "run", "supernet", {"a": 1}, {})
    (folder.path / name).unlink(missing_ok=True)
    (folder.path / name).symlink_to(outside)
    with pytest.raises(UserError, match=f"{name}: is a link"), folder.lock():
        folder.log("began")
    assert outside.read_text() == SECRET


def test_a_history_is_no_link(tmp_path: Path, outside: Path, tiny_space: MobileNetGroups) -> None:
    (tmp_path / "history.jsonl").symlink_to(outside)
    with pytest.raises(UserError, match=r"history.jsonl: is a link"):
        History(tmp_path / "history.jsonl", tiny_space)
    assert outside.read_text() == SECRET


def test_a_draft_of_the_progress_takes_a_link_s_place(tmp_path: Path, outside: Path) -> None:
    with Progress("work", 2, 0, tmp_path) as progress:
        for draft in tmp_path.iterdir():
            if draft != outside:
                draft.unlink()
        (tmp_path / "progress.draft").symlink_to(outside)
        progress.advance(1)
    assert outside.read_text() == SECRET


def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(UserError, match=f"{name}: is "):
            open_to_append(tmp_path / name)


def test_a_command_refuses_a_strangers_lock_in_one_line(
    tmp_path: Path, outside: Path, stages: dict, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(yaml.safe_dump(stages))
    Path("run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(outside)
    assert run(["train-supernet", "c.yaml", "--run", "run"]) == 2
    assert ".lock: is a link" in capsys.readouterr().err
    assert outside.read_text() == SECRET

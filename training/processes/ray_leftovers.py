"""The folder of a private Ray: in use while its driver lives, removed by a later start if killed.

A driver that is killed leaves the folder for ever, two of Ray's processes for about a minute, and
a worker that was stopped (SIGSTOP) for as long as it stays stopped.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "evobit-"
MARK = "in-use-by-evobit"
"""A file in each of these folders, locked as long as its driver lives."""

PATIENCE_S = 5.0
"""How long processes that were killed may take to be gone."""


@contextmanager
def private_folder(base: Path) -> Iterator[Path]:
    """A new folder in `base`; at the end it is removed, with any process that still works in it."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    # Locked before it has its name: a mark that can be locked is one of a dead driver.
    with open(folder / f".{MARK}", "wb") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX)
            os.rename(mark.name, folder / MARK)
        except OSError:
            pass  # a file system without locks: unmarked, no other start touches it
        try:
            yield folder
        finally:
            _remove(folder)


def remove_leftovers(base: Path) -> None:
    """Remove this user's folders in `base` whose drivers are dead, with their processes."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            with open(folder / MARK, "rb") as mark:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
        except OSError:
            continue  # no mark, so not ours; or its driver lives, or another one is removing it


def _remove(folder: Path) -> None:
    """Kill what still works in the folder, so that nothing is written again, and remove it."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := processes_in(folder)) and time.monotonic() < deadline:
        for number in found:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def processes_in(folder: Path) -> list[int]:
    """This user's Ray processes of that folder, by number; none where there is no /proc.

    They were given it as an argument; or, where their title hides that, have a log open there.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid != os.getuid():
                continue
            command = os.fsdecode((process / "cmdline").read_bytes())
            if not (command.startswith("ray::") or "/ray/" in command):
                continue
            if str(folder) in command or _has_open(process, folder):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or is another's
    return found


def _has_open(process: Path, folder: Path) -> bool:
    """Whether the process has a file below `folder` open."""
    for descriptor in (process / "fd").iterdir():
        try:
            if os.readlink(descriptor).startswith(f"{folder}/"):
                return True
        except OSError:
            continue  # closed meanwhile
    return False

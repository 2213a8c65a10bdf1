"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import fnmatch
import glob
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from supernet.files.printable import encodable
from supernet.files.user_error import UserError

PARTIAL = ".partial"
"""Suffix of a file that is being written; its writer holds a lock on it for as long as it lives."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Write a whole file or nothing: temporary file beside it, fsync, rename.

    Yields a binary file. On any exception the temporary file is removed and `path` is untouched;
    what a killed process left of the same file is removed before.
    """
    path = Path(path)
    check_output(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent, glob.escape(path.name))
        descriptor, temporary = _locked_draft(path)
    except OSError as error:
        # The temporary file's name would tell nobody anything.
        raise type(error)(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)  # still open, and so locked: nobody takes it for abandoned
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def remove_abandoned(folder: Path, names: str = "*") -> None:
    """Remove what killed processes left in `folder` of files whose names match the glob `names`.

    A living writer's is left alone, wherever its lock can be seen.
    """
    with os.scandir(folder) as entries:
        left = fnmatch.filter((one.name for one in entries), f".{names}.*{PARTIAL}")
    for name in left:
        with suppress(OSError):
            descriptor = os.open(folder / name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / name).unlink()
            finally:
                os.close(descriptor)


def _locked_draft(path: Path) -> tuple[int, str]:
    """A new file beside `path`, open and locked, and its name."""
    while True:
        descriptor, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent
        )
        with suppress(OSError):  # a file system that knows no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.exists(name):
            return descriptor, name
        os.close(descriptor)  # another writer took it for abandoned, before it was locked


def open_to_append(path: str | Path, buffering: int = -1) -> IO[bytes]:
    """A file of a run folder, to be read and added to or locked; made if missing, never emptied.

    A folder may come from a stranger: no link is followed, and nothing but a file is opened.

    Raises:
        UserError: a link, a folder or a device is there.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO):
            raise UserError(f"{path}: is a link or no file; expected a file of the run") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: is no file; expected a file of the run")
    return os.fdopen(descriptor, "ab+", buffering)


def check_output(path: str | Path) -> None:
    """Demand that a file can stand at `path`; for work that would be lost at its end.

    Raises:
        UserError: a folder is there, or a file is where a folder has to be.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, expected the name of a file to write")
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise UserError(f"{path}: cannot be written, {parent} is a file")


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically; halves of characters, as odd paths have them, are shown."""
    with atomic_write(path) as file:
        file.write(encodable(text).encode())


def write_json(path: str | Path, document: Any) -> None:
    """Write one JSON document atomically, two-space indented, ending in a newline."""
    write_text(path, json.dumps(document, indent=2) + "\n")

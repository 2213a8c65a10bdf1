"""Arrays on a file system that all nodes reach; each node copies them once and maps its copy.

One safetensors file named by its SHA-256, at any place that fsspec can open. What a node maps is
checked against that name whenever a worker opens it; nothing is unpickled.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.pools.pool import Arrays
from supernet.files import (
    PARTIAL,
    UserError,
    atomic_write,
    check_output,
    open_to_append,
    sha256_file,
)

SUFFIX = ".safetensors"
CHUNK_BYTES = 1 << 22
LOCK = ".lock"

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
"""numpy's names of the safetensors types."""


@dataclass(frozen=True)
class SharedArrays:
    """The file at `url`, whose bytes have the hash `sha256`; small, for it goes to every worker."""

    url: str
    sha256: str

    def open(self, folder: Path) -> Arrays:
        """Read-only arrays over this node's copy in `folder`, which is made where it is missing.

        Workers of one node share the copy and its memory.

        Raises:
            UserError: the file cannot be read, or is not what was written.
        """
        with _locked(folder):
            copy = folder / f"{self.sha256}{SUFFIX}"
            if not copy.exists() or sha256_file(copy) != self.sha256:
                for torn in folder.glob(f"*{PARTIAL}"):
                    torn.unlink()
                self._fetch(copy)
            return map_arrays(copy)

    def remove(self, folder: Path) -> None:
        """Remove this node's copy, and the folder where nothing else is in it.

        Workers that have mapped it are not disturbed, and one that starts later copies it anew.
        """
        if not folder.is_dir():
            return
        with _locked(folder):
            (folder / f"{self.sha256}{SUFFIX}").unlink(missing_ok=True)
            if not any(path.name != LOCK for path in folder.iterdir()):
                (folder / LOCK).unlink()
                folder.rmdir()

    def _fetch(self, copy: Path) -> None:
        found = hashlib.sha256()
        try:
            with _opened(self.url) as source, atomic_write(copy) as target:
                while chunk := source.read(CHUNK_BYTES):
                    found.update(chunk)
                    target.write(chunk)
                if found.hexdigest() != self.sha256:
                    raise UserError(f"{self.url}: is damaged, its SHA-256 is not its name")
        except UserError:
            raise
        except Exception as error:  # each file system has its own
            raise UserError(f"search.arrays_at: {self.url} cannot be read ({error})") from error


def share(arrays: Arrays, place: str) -> SharedArrays:
    """Write `arrays` into the folder `place` (a path or URL), unless they are there already.

    Raises:
        UserError: `place` is of no known file system, or cannot be written.
    """
    from safetensors.numpy import save_file

    with tempfile.TemporaryDirectory(prefix="evobit-") as folder:
        made = Path(folder) / f"arrays{SUFFIX}"
        # Scalars and views as they are: safetensors wants memory in one piece.
        save_file(
            {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}, made
        )
        sha256 = sha256_file(made)
        try:
            return SharedArrays(_put(made, place, f"{sha256}{SUFFIX}", sha256), sha256)
        except UserError:
            raise
        except Exception as error:  # each file system has its own
            raise UserError(f"search.arrays_at: {place} cannot be written ({error})") from error


def _put(made: Path, place: str, name: str, sha256: str) -> str:
    """Copy a file to `place`; returns its URL there."""
    from fsspec.core import url_to_fs

    system, path = url_to_fs(place)
    target = f"{path.rstrip('/')}/{name}"
    url: str = system.unstrip_protocol(target)
    if system.exists(target) and _sha256(url) == sha256:
        return url
    if "file" in _protocols(system):
        check_output(target)
        with atomic_write(target) as file, open(made, "rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                file.write(chunk)
    else:  # Object stores show a file when all of it is there.
        system.makedirs(path, exist_ok=True)
        system.put_file(str(made), target)
    return url


def _protocols(system: Any) -> tuple[str, ...]:
    names = system.protocol
    return (names,) if isinstance(names, str) else tuple(names)


def _opened(url: str) -> Any:
    import fsspec

    return fsspec.open(url, "rb")


def _sha256(url: str) -> str:
    found = hashlib.sha256()
    with _opened(url) as source:
        while chunk := source.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def map_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read-only views of a safetensors file's arrays, in memory shared by all who map it.

    The file: 8 bytes with the header's length, a JSON header with type, shape and place of each
    array, the arrays' bytes.
    """
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(mapped[:8], "little")
    header = json.loads(mapped[8:start])
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        dtype, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), entry["data_offsets"]
        count = (end - begin) // dtype.itemsize
        flat = np.frombuffer(mapped, dtype, count, start + begin) if count else np.empty(0, dtype)
        arrays[name] = flat.reshape(entry["shape"])
    return arrays


def node_folder(node: str) -> Path:
    """A folder of this user for the copies of one Ray node, by the node's id.

    Raises:
        UserError: somebody else made a folder of this name.
    """
    folder = Path(tempfile.gettempdir()) / f"evobit-arrays-{os.getuid()}-{node[:16]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    if folder.is_symlink() or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise UserError(f"{folder}: expected a folder that only this user may open; remove it")
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system takes back from a process that dies."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_to_append(folder / LOCK) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # `remove` may have taken the file, and so the lock, from under us.
            if _is_same(file.fileno(), folder / LOCK):
                yield
                return


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

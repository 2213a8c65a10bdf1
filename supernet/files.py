"""What every stage reads and writes: atomic files, format headers, strict weights, user errors."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


PARTIAL = ".partial"
"""Suffix of a file that is being written; one that a killed process left may be removed."""


_ODD_VALUE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError),
    ValueError,
)
"""What Python and torch raise for a value that is not of the kind it was written as."""


class UserError(Exception):
    """The user's input is wrong; the message says what, where, and what was expected.

    The command line prints it as one line and exits with code 2.
    """


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Write a whole file or nothing: temporary file beside it, fsync, rename.

    Yields a binary file. On any exception the temporary file is removed and `path` is untouched.
    """
    path = Path(path)
    check_output(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent
        )
    except OSError as error:
        # The temporary file's name would tell nobody anything.
        raise type(error)(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


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
    """Write UTF-8 text atomically."""
    with atomic_write(path) as file:
        file.write(text.encode())


def write_json(path: str | Path, document: Any) -> None:
    """Write one JSON document atomically, two-space indented, ending in a newline."""
    write_text(path, json.dumps(document, indent=2) + "\n")


def read_json(path: str | Path, *, what: str = "JSON file") -> Any:
    """Read one JSON document.

    Raises:
        UserError: the file is missing, unreadable or not JSON; the message names it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path}: cannot be read ({_reason(error)})") from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{what} {path}: not complete, valid JSON ({error})") from error


def check_header(
    document: Any, path: str | Path, *, format: str, version: int, what: str = ""
) -> dict[str, Any]:
    """Return `document` if it carries the `format` and a readable `version`.

    `what` the file has to be is said in words: "a latency table".

    Raises:
        UserError: another format, another version, or no header at all.
    """
    if not isinstance(document, dict) or document.get("format") != format:
        name = document.get("format") if isinstance(document, dict) else None
        found = "none" if name is None else repr(name)
        is_none = f"is not {what}: " if what else ""
        raise UserError(f"{path}: {is_none}expected format '{format}', found {found}")
    if document.get("version") != version:
        raise UserError(
            f"{path}: format '{format}' version {document.get('version')!r}; "
            f"this program reads version {version}"
        )
    return document


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let every `UserError` raised inside name the file that it comes of."""
    try:
        yield
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"{path}: {error}") from error


@contextmanager
def as_written(path: str | Path) -> Iterator[None]:
    """Around the use of what `path` holds: a value of another kind is damage, not a bug.

    Raises:
        UserError: in place of whatever a missing or odd value raises; the message names `path`.
    """
    try:
        with naming(path):
            yield
    except _ODD_VALUE as error:
        raise UserError(f"{path}: damaged ({type(error).__name__}: {error})") from error


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as one safetensors file, atomically; `metadata` is text by name."""
    from safetensors.torch import save

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as file:
        file.write(save(contiguous, metadata=dict(metadata or {})))


def load_weights(
    path: str | Path, what: str = "a safetensors file"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors and its metadata; `what` it has to be is for errors.

    Raises:
        UserError: the file is missing, truncated or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    if Path(path).is_dir():
        raise UserError(f"weights {path}: is a folder, expected a file")
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return tensors, dict(file.metadata() or {})
    except OSError as error:
        raise UserError(f"weights {path}: cannot be read ({_reason(error)})") from error
    except SafetensorError as error:
        raise UserError(
            f"weights {path}: cannot be read (not safetensors, or damaged); expected {what}"
        ) from error


def check_names_and_shapes(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str | Path
) -> None:
    """Demand the same tensor names and shapes, and real numbers where there are real ones.

    Raises:
        UserError: lists missing names, unexpected names, differing shapes and types (three of
            each).
    """
    problems = []
    if missing := sorted(expected.keys() - found.keys()):
        problems.append(f"missing {_some(missing)}")
    if extra := sorted(found.keys() - expected.keys()):
        problems.append(f"unexpected {_some(extra)}")
    shapes = [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if found[name].shape != expected[name].shape
    ]
    if shapes:
        problems.append(f"wrong shape: {_some(shapes)}")
    kinds = [
        f"{name} is {found[name].dtype}, expected {expected[name].dtype}"
        for name in sorted(expected.keys() & found.keys())
        if not _same_kind(found[name], expected[name])
    ]
    if kinds:
        problems.append(f"wrong type: {_some(kinds)}")
    if problems:
        raise UserError(f"weights {path} do not fit this network: {'; '.join(problems)}")


def _same_kind(a: Tensor, b: Tensor) -> bool:
    """Whether both are of real numbers, of whatever width, or neither is."""
    return a.is_floating_point() == b.is_floating_point() and not a.is_complex()


def _some(names: list[str]) -> str:
    """The first three of `names`, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _reason(error: BaseException) -> str:
    """An operating-system error's text without its number and path; else the error itself."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)

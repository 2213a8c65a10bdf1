"""Errors that a user can cause, and the file that they come of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ODD_VALUE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError),
    ValueError,
)
"""What Python and torch raise for a value that is not of the kind it was written as."""


class UserError(Exception):
    """The user's input is wrong; the message says what, where, and what was expected.

    The command line prints it as one line and exits with code 2.
    """


class RunFailed(RuntimeError):
    """The work was done and has failed; the message is the whole explanation.

    The command line prints it as one line and exits with code 1.
    """


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
    with or_damaged(path), naming(path):
        yield


@contextmanager
def or_damaged(path: str | Path) -> Iterator[None]:
    """As `as_written`, where what a `UserError` inside comes of is another thing than `path`."""
    try:
        yield
    except _ODD_VALUE as error:
        raise UserError(f"{path}: damaged ({type(error).__name__}: {error})") from error


def reason_of(error: BaseException) -> str:
    """An operating-system error's text without its number and path; else the error itself."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)

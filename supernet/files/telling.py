"""Lines on stderr, beside what a command prints as its result."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from supernet.files.printable import LONGEST, printable


def is_first_process() -> bool:
    """Whether this process speaks for a training: the only one, or torchrun's first."""
    return os.environ.get("RANK", "0") == "0"


def tell(text: str) -> None:
    """Lines, if they can be written: no work ends for a closed terminal or a full disk."""
    with suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """`text`, which may hold what a stranger named, as one line of bounded length."""
    return printable(" ".join(text.split()), 7 * LONGEST)


_told: set[str] = set()


def tell_once(text: str) -> None:
    """One line of what is found again and again: the first time, by the first process."""
    line = one_line(text)
    if line not in _told and is_first_process():
        _told.add(line)
        tell(line)

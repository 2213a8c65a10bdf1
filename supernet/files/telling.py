"""Lines on stderr, beside what a command prints as its result."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from supernet.files.printable import LONGEST, printable


def is_first_process() -> bool:
    """Whether this process speaks for a training: the only one, or torchrun's first."""
    return os.environ.get("RANK", "0") == "0"


def tell(line: str) -> None:
    """A line, if it can be written: no work ends for a closed terminal or a full disk."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


_told: set[str] = set()


def tell_once(text: str) -> None:
    """One line of what is found again and again: the first time, by the first process."""
    line = printable(" ".join(text.split()), 7 * LONGEST)
    if line not in _told and is_first_process():
        _told.add(line)
        tell(line)

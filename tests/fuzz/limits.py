"""What one case may take: seconds and memory."""

from __future__ import annotations

import faulthandler
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 10.0
"""Of the processor: a busy machine is no hang."""

STUCK_SECONDS = 120.0
"""After so long by the clock the process ends: it is stuck where no signal of Python's gets."""

PROGRAM_SECONDS = 120
"""A program's, which may have to import torch on a busy machine first."""

MORE_BYTES = 2 << 30
ADDRESS_SPACE_OF_A_PROGRAM = 12 << 30
"""Torch alone maps several GiB, most of it never touched."""


class Late(BaseException):
    """A case took longer than it may; no Exception, so that nothing takes it for one of its own."""


def limit_memory() -> None:
    """Let this process take `MORE_BYTES` above what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


@contextmanager
def at_most(seconds: float = SECONDS) -> Iterator[None]:
    """Raise `Late` inside once the time is up, and again each time that is caught."""

    def late(*_: Any) -> None:
        raise Late(f"took more than {seconds:g} s")

    before = signal.signal(signal.SIGPROF, late)
    faulthandler.dump_traceback_later(STUCK_SECONDS, exit=True, file=sys.__stderr__)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        faulthandler.cancel_dump_traceback_later()

"""Entry of the `evobit` program and of `python -m evobit`."""

import atexit
import io
import os
import signal
import sys
import warnings
from contextlib import suppress
from types import FrameType

from evobit.main import run

SPINS = "1000"
"""Of an idle OpenMP thread, some 40 us: longer than from one layer to the next.

As it comes, a thread spins for milliseconds: where other programs run, a step of a small network
took 4 to 13 times as long on two threads as on one so, and 0.8 to 1.9 times with this.
"""


def main() -> None:
    """Run the command line and exit with its code; SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read where torch is imported
    # Pillow tells of damage that it reads past; an image that it cannot read is refused by name.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    _prepare_streams()
    code = run(sys.argv[1:])
    if code and "ray" in sys.modules:
        _leave(code)
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _leave(code: int) -> None:
    """Exit without Python's own end, in which a Ray interrupted as it started may crash."""
    with suppress(BaseException):
        atexit._run_exitfuncs()  # Ray's stop the processes that it began
        sys.stdout.flush()
    os._exit(code)


def _prepare_streams() -> None:
    """Let both streams take any text: '?' for what they cannot encode; closed, they take all."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the shell's >&-
            setattr(sys, name, open(os.devnull, "w"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    main()

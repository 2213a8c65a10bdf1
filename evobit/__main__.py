"""Entry of the `evobit` program and of `python -m evobit`.

A signal finds the program in one of three states: as it starts it ends at once, with the line and
the code of an interrupted command; in a command it is Ctrl-C's `KeyboardInterrupt`; as it ends,
nothing is left to interrupt, and it changes nothing. What is heavy is imported in between.
"""

import atexit
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN_S = 0.05

SPINS = "1000"
"""Of an idle OpenMP thread, some 40 us: longer than from one layer to the next.

As it comes, a thread spins for milliseconds: where other programs run, a step of a small network
took 4 to 13 times as long on two threads as on one so, and 0.8 to 1.9 times with this.
"""


def main() -> None:
    """Run the command line and exit with its code; SIGTERM ends it as Ctrl-C does."""
    _handle(_end_at_once)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read where torch is imported
    # Short of importing what the program is made of, which takes most of its start.
    from evobit import main as commands
    from evobit.errors import FAILED, RESUMES, exit_code, say
    from evobit.output import prepare_streams

    prepare_streams()
    sys.unraisablehook = _pass_on
    try:
        _handle(_interrupt)
        code = commands.run(sys.argv[1:]) or exit_code(sys.stdout.flush)
        _handle(signal.SIG_IGN)
    except KeyboardInterrupt:  # outside the command: before it, or as it was told of another
        _handle(signal.SIG_IGN)
        say(RESUMES)
        code = FAILED
    _give_up_what_is_not_written()
    if code and "ray" in sys.modules:
        _leave(code)
    sys.exit(code)


def _give_up_what_is_not_written() -> None:
    """Python would try it once more as it ends, complain, and end with 120 in place of the code."""
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except (OSError, ValueError, AttributeError):  # full, closed, or none at all
            setattr(sys, name, None)


def _handle(handler: Any) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup, or behind a shell's &
            signal.signal(number, handler)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os.write(2, b"evobit: interrupted; nothing had begun\n")
    os._exit(1)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _pass_on(unraisable: Any) -> None:
    """Interrupt again, a moment later, where the error fell into what cannot raise: a `__del__`."""
    if unraisable.exc_type is KeyboardInterrupt:
        signal.signal(signal.SIGALRM, _interrupt)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)


def _leave(code: int) -> None:
    """Exit without Python's own end, in which a Ray interrupted as it started may crash."""
    with suppress(BaseException):
        atexit._run_exitfuncs()  # Ray's stop the processes that it began
        sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()

"""How a command ends: one line on stderr and an exit code for anything that was raised."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

from supernet.files import RunFailed, UserError
from supernet.files.telling import is_first_process, one_line, tell

DONE, FAILED, WRONG_INPUT = 0, 1, 2
INTERRUPTED = 130
"""What Typer makes of Ctrl-C inside a command."""

RESUMES = "interrupted; the same command resumes where this one stopped"
NEEDED = ("torch", "torchvision", "numpy", "pandas", "ray", "fvcore", "safetensors", "PIL")
"""Packages without which some commands still work, such as 'predict' without torch."""

COMPILERS = ("torch._dynamo", "torch._inductor")
"""Modules whose errors are those of compiling, whatever program failed in it."""

NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class CommandFailed(Exception):
    """The command ran and its answer is no; the message is the whole explanation."""


def exit_code(command: Callable[[], Any]) -> int:
    """Run `command`; report what it raises as one line on stderr.

    Returns 0 done, 1 it ran and failed, 2 the user's input is wrong. EVOBIT_DEBUG=1 shows every
    traceback.
    """
    try:
        code = int(command() or DONE)
    except (KeyboardInterrupt, Exception) as error:
        if os.environ.get("EVOBIT_DEBUG") == "1":
            traceback.print_exc()
        code, line = _explain(error)
        say(line)
    if code == INTERRUPTED:
        say(RESUMES)
        return FAILED
    return code


def say(text: str) -> None:
    """Print one line on stderr, marked as evobit's; torchrun's first process says it for all."""
    if is_first_process():
        tell(one_line(f"evobit: {text}"))


def _explain(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for an error."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return FAILED, RESUMES
    if isinstance(error, UserError):
        return WRONG_INPUT, str(error)
    if isinstance(error, (CommandFailed, RunFailed)):
        return FAILED, str(error)
    # Typer's own errors (unknown option, missing argument); Typer keeps its copy of click's
    # classes at no fixed place, so they are known by their method.
    if hasattr(error, "format_message"):
        return WRONG_INPUT, f"{error.format_message()} (see {_usage(error)} --help)"
    if (failure := _no_room(error)) is not None:
        return FAILED, f"no room to write: {_operating_system(failure)}"
    if _is_no_memory(error):
        return FAILED, f"not enough memory: {_short(str(error))}".rstrip(": ")
    if isinstance(error, OSError):
        return FAILED, _operating_system(error)
    if type(error).__module__.startswith(COMPILERS):
        reason = _short(" ".join(str(error).partition("\n\n")[0].split()))
        return FAILED, (
            f"torch.compile failed ({reason}); compile: off in the config's section does without "
            f"it; {_where_traceback(error)}"
        )
    if isinstance(error, ModuleNotFoundError) and error.name in NEEDED:
        return WRONG_INPUT, (
            f"the package {error.name} is not installed here; pip install {error.name} "
            f"('evobit doctor' says what else is missing)"
        )
    return FAILED, f"{type(error).__name__}: {_short(str(error))}; {_where_traceback(error)}"


def _usage(error: BaseException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context is not None else "evobit"


def _is_no_memory(error: BaseException) -> bool:
    """Whether Python, NumPy or torch was refused memory."""
    is_of_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and is_of_torch)


def _no_room(error: BaseException) -> OSError | None:
    """The full disk or file-size limit behind `error`, if any (torch wraps it)."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, OSError) and current.errno in NO_ROOM:
            return current
        current = current.__cause__ or current.__context__
    return None


def _operating_system(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "..."


def _where_traceback(error: BaseException) -> str:
    """Keep the traceback in a temporary file, and say where."""
    if os.environ.get("EVOBIT_DEBUG") == "1":
        return "traceback above"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="evobit-", suffix=".traceback.txt", delete=False
        ) as file:
            file.writelines(traceback.format_exception(error))
    except OSError:
        return "set EVOBIT_DEBUG=1 to see the traceback"
    return f"traceback in {file.name}"

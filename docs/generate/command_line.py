"""The reference page of the command line, from the program itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

HEAD = """# The command line

Made from the program at each build of this site; `evobit COMMAND --help` prints the same.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it ran and failed, or was interrupted (Ctrl-C, SIGTERM): the same command resumes |
| 2 | the input is wrong: one line says what, where, and what was expected |

A signal that comes while Python itself starts, before it has begun with evobit, ends it as Python
or the system does (130, 143, or 1 with a traceback); nothing has been read or written then.

| variable | meaning |
|---|---|
| `EVOBIT_ISA` | instruction set of the 1-bit kernels: avx512, avx2 or portable |
| `EVOBIT_DATA` | folder in which data sets are looked for first |
| `EVOBIT_KERNELS` | another build of the kernels' library |
| `EVOBIT_DEBUG=1` | a traceback with the message, for a report of a fault |
"""


def page() -> str:
    """The page as Markdown: a section a command, a table of its arguments and options."""
    from typer import Context
    from typer.main import get_command

    from evobit.main import app

    program: Any = get_command(app)
    sections = [HEAD]
    for name, command in _commands(program, "evobit"):
        context = Context(command, info_name=name)
        usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
        example = _example(command.epilog)
        sections.append(f"## {name}\n\n{command.help}\n\n```\n{usage}\n```\n\n{example}")
        rows = [parameter.get_help_record(context) for parameter in command.params]
        if rows := [
            f"| `{_cell(what).removesuffix(' <path>')}` | {_cell(text).replace('<', '&lt;')} |"
            for what, text in filter(None, rows)
        ]:
            sections.append("\n".join(["| argument, option | |", "|---|---|", *rows]) + "\n")
    return "\n".join(sections)


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it, groups opened."""
    for name, command in group.commands.items():
        words = f"{prefix} {name}"
        if hasattr(command, "commands"):
            yield from _commands(command, words)
        else:
            yield words, command


def _example(epilog: str | None) -> str:
    head, _, words = (epilog or "").partition(": ")
    return f"{head}: `{words}`\n" if words else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

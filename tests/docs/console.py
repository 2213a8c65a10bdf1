"""Runs a page of the documentation as a reader would: files written, commands typed, in one folder.

A block with a title is a file of that name. In a block of language console, what follows `$ ` is a
command, continued on the next line after a backslash; all other lines are shown output.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class WrittenFile:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command that the reader types, and lines that it prints, in their order."""

    text: str
    shown: tuple[str, ...]


def steps(page: str) -> Iterator[WrittenFile | Command]:
    """What a reader of the page does, in order."""
    for language, rest, body in BLOCK.findall(page):
        if title := TITLE.search(rest):
            yield WrittenFile(title[1], body)
        elif language == "console":
            yield from _commands(body)


def _commands(block: str) -> Iterator[Command]:
    typed, shown = "", []
    continued = False
    for line in block.splitlines():
        if line.startswith("$ ") or continued:
            if not continued and typed:
                yield Command(typed, tuple(shown))
                typed, shown = "", []
            typed += line.removeprefix("$ ") + "\n"
            continued = line.endswith("\\")
        else:
            shown.append(line)
    if typed:
        yield Command(typed, tuple(shown))


def script(found: list[WrittenFile | Command], folder: Path) -> str:
    """One bash program for the page: each command's output in a file, ended by a failure."""
    lines = [f"cd {shlex.quote(str(folder))}"]
    for number, step in enumerate(found):
        if isinstance(step, WrittenFile):
            source = folder.parent / f"file-{number}"
            lines.append(f"cp {shlex.quote(str(source))} {shlex.quote(step.name)}")
        else:
            output = shlex.quote(str(folder.parent / f"output-{number}"))
            lines.append(f"{{ {step.text}}} >{output} 2>&1 </dev/null || exit {100 + number}")
    return "\n".join(lines) + "\n"


def run_page(page: str, scratch: Path) -> None:
    """Do what the page says in an empty folder below `scratch`.

    Raises:
        AssertionError: a command fails, or does not print what is shown; says which.
    """
    found, folder = list(steps(page)), scratch / "work"
    folder.mkdir()
    for number, step in enumerate(found):
        if isinstance(step, WrittenFile):
            (scratch / f"file-{number}").write_text(step.text)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "100"}
    done = subprocess.run(["bash", "-c", script(found, folder)], env=environment)
    for number, step in enumerate(found):
        if isinstance(step, Command):
            output = scratch / f"output-{number}"
            printed = output.read_text() if output.exists() else ""
            assert done.returncode != 100 + number, f"failed: {step.text}\n{printed}"
            missing = first_missing(step.shown, printed.splitlines())
            assert missing is None, f"{step.text}\ndid not print: {missing}\nbut:\n{printed}"
    assert done.returncode == 0


def first_missing(shown: tuple[str, ...], printed: list[str]) -> str | None:
    """The first shown line that is not among the printed ones after the line before it."""
    rest = iter(shape(line) for line in printed)
    for line in shown:
        if shape(line) not in ("", "...") and shape(line) not in rest:
            return line
    return None


def shape(line: str) -> str:
    """A line without what differs between runs: numbers (not of names: top1), hashes, widths."""
    line = re.sub(r"(?<!\.)\b[0-9a-f]{8,}\b", "#", line)  # 96.66666666666667 is no hash
    line = re.sub(r"(?<![A-Za-z])[-+]?\d[\d,]*(\.\d+)?(e[-+]\d+)?", "#", line)
    return " ".join(re.sub(r"[─━┏┓┡┩┳╇┌┐└┘┴┬│┃|-]+", " ", line).split())

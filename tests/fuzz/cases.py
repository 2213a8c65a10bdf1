"""One case: a file of a seed damaged, read, and judged."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

from evobit.main import run
from supernet.files import PARTIAL, UserError
from tests.fuzz.commands import COMMANDS, Command, kinds_of
from tests.fuzz.limits import ADDRESS_SPACE_OF_A_PROGRAM, PROGRAM_SECONDS, Late, at_most
from tests.fuzz.targets import TARGETS

COMMAND, PROGRAM = "command", "program"
"""The targets that are commands, in this process and as programs of their own."""


@dataclass(frozen=True)
class Case:
    """What one seed of a target damages, and how; `content` is what the file then holds."""

    target: str
    seed: int
    file: str
    kind: str
    content: bytes
    rng: Random
    command: Command | None = None

    def __str__(self) -> str:
        words = f" evobit {self.command.words}" if self.command else ""
        return f"{self.target} {self.seed} ({self.kind}, {self.file}){words}"


def drawn(target: str, seed: int, whole: Folder) -> Case:
    """The case of a seed, the same wherever and whenever it is drawn."""
    rng = Random(f"{target} {seed}")
    command = None
    if target in (COMMAND, PROGRAM):
        among = [one for one in COMMANDS if target == COMMAND or not one.needs_torch]
        if target == PROGRAM and rng.random() < 0.3:
            among = list(COMMANDS)
        command = rng.choice(among)
        file = rng.choice([file for file in command.files if file in whole.content])
        kinds = kinds_of(file)
    else:
        pattern = rng.choice(TARGETS[target].files)
        matching = sorted(name for name in whole.content if Path(name).match(pattern))
        file = rng.choice(matching)
        kinds = TARGETS[target].kinds
    kind = rng.choice(list(kinds))
    content = kinds[kind](rng, whole.content[file]) if whole.content[file] else b"x"
    return Case(target, seed, file, kind, content, rng, command)


class Folder:
    """A working folder of samples, which can be compared with what it was and be made so again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = {
            str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file() and not file.name.endswith(".lock")
        }
        self._held = dict(self.content)
        self._seen = {name: self._state(name) for name in self.content}

    def put(self, name: str, content: bytes) -> None:
        """Let a file hold something else for a case."""
        (self.path / name).write_bytes(content)
        self._held[name], self._seen[name] = content, self._state(name)

    def changed(self) -> list[str]:
        """The files that were lost or written otherwise since."""
        return [
            name
            for name, seen in self._seen.items()
            if (state := self._state(name)) != seen
            and (state is None or (self.path / name).read_bytes() != self._held[name])
        ]

    def left_partial(self) -> bool:
        """Whether a file lies there that was not written to its end."""
        return any(self.path.rglob(f"*{PARTIAL}"))

    def restore(self, *names: str) -> None:
        """Make these files and all that changed what they were, and drop what is new."""
        for name in {*names, *self.changed()}:
            self.put(name, self.content[name])
        for folder, _, files in os.walk(self.path):
            for file in files:
                path = Path(folder, file)
                if str(path.relative_to(self.path)) not in self.content:
                    path.unlink()

    def _state(self, name: str) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path / name)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def fault_of(case: Case, folder: Folder) -> str | None:
    """What a case shows to be wrong with the program; None where all is well.

    The working folder of this process is `folder`; it is as it was afterwards.
    """
    folder.put(case.file, case.content)
    try:
        if case.command is None:
            fault = _read(case)
        elif case.target == PROGRAM:
            fault = _run_program(case)
        else:
            fault = _run_here(case)
        writes = "nothing" if case.command is None else case.command.writes
        if fault is None and case.target != "run-folder":
            changed = [name for name in folder.changed() if not f"{name}/".startswith(f"{writes}/")]
            if changed:
                fault = f"changed {changed}"
        if fault is None and folder.left_partial():
            fault = "left a file unfinished"
        return fault
    finally:
        folder.restore(case.file)


def _read(case: Case) -> str | None:
    target = TARGETS[case.target]
    try:
        with at_most():
            target.read(Path(case.file), case.rng)
    except UserError as error:
        named = [Path(case.file).name, *target.says]
        return None if any(name in str(error) for name in named) else f"names no file: {error}"
    except (Late, Exception) as error:
        return _place(error)
    return None


def _run_here(case: Case) -> str | None:
    assert case.command is not None
    # Strict, as a terminal's stdout is; stderr writes what it cannot encode in other words.
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    err = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), at_most():
            code = run(case.command.words.split())
    except (Late, Exception) as error:
        return _place(error)
    return judged(case, code, err.getvalue())


def _run_program(case: Case) -> str | None:
    import resource

    assert case.command is not None

    def limit() -> None:
        size = ADDRESS_SPACE_OF_A_PROGRAM
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    words = [sys.executable, "-m", "evobit", *case.command.words.split()]
    try:
        done = subprocess.run(
            words, capture_output=True, timeout=PROGRAM_SECONDS, preexec_fn=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return f"took more than {PROGRAM_SECONDS} s"
    return judged(case, done.returncode, done.stderr.decode("utf-8", "replace"))


def judged(case: Case, code: int, printed: str) -> str | None:
    """What is wrong with how a command ended."""
    lines = [line for line in printed.splitlines() if line.startswith("evobit: ")]
    if code not in (0, 1, 2):
        return f"exit code {code}: {printed[-300:]}"
    for sign in ("Traceback (most", "traceback in ", "traceback above", "Warning: "):
        if sign in printed:
            return f"exit code {code}: {_kept(printed)}"
    if code != 0 and not (lines and printed.splitlines()[-1] == lines[-1]):
        return f"exit code {code} without its line: {printed[-300:]}"
    if code == 2 and not case.file.endswith(".yaml"):  # a field of a config is known by its name
        path = Path(case.file)
        named = (path.name, str(path.parent) if path.parent.name else path.name)
        if not any(name in line for line in lines for name in named):
            return f"names no file: {lines[-1][:300]}"
    return None


def _kept(printed: str) -> str:
    """The place in the traceback that a command kept, or what it printed."""
    _, found, path = printed.strip().rpartition("traceback in ")
    try:
        lines = Path(path.strip()).read_text().splitlines() if found else []
    except OSError:
        lines = []
    places = [line.strip() for line in lines if line.startswith("  File ") and "/lib/" not in line]
    return " | ".join([*(places[-1:]), lines[-1][:200] if lines else printed[-300:]])


def _place(error: BaseException) -> str:
    """The error, and the last line of the program that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/lib/" not in frame.filename]
    last = own[-1] if own else frames[-1]
    text = " ".join(str(error).split())[:200]
    return f"{Path(last.filename).name}:{last.lineno}: {type(error).__name__}: {text}"

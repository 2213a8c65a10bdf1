"""What a command prints: its result on stdout, everything else on stderr."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from evobit.errors import say
from supernet.files.plain_data import flatten, plain
from supernet.files.printable import LONGEST, printable
from supernet.files.telling import is_first_process


def prepare_streams() -> None:
    """Let both streams take any text: '?' for what they cannot encode; closed, they take all."""
    # Pillow tells of damage that it reads past; an image that it cannot read is refused by name.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the shell's >&-
            setattr(sys, name, open(os.devnull, "w"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


class Output:
    """The real stdout, for results alone; as one JSON document or as text."""

    def __init__(self, stream: TextIO, as_json: bool) -> None:
        self.stream = stream
        self.as_json = as_json

    def show(
        self,
        document: Mapping[str, Any],
        *,
        title: str = "",
        text: str = "",
        only_json: Collection[str] = (),
    ) -> None:
        """Print `document` as JSON; or `text` in its place; or else a table of its entries.

        The table leaves out the entries named in `only_json`.
        """
        if self.as_json:
            self.stream.write(json.dumps(plain(document, finite=True), indent=2) + "\n")
        elif text:
            self.stream.write(printable(text.rstrip("\n")) + "\n")
        else:
            shown = {name: value for name, value in document.items() if name not in only_json}
            rows = flatten(shown, numbered_from=None)
            self.table(
                ("", ""), [(name, _text(value)) for name, value in rows.items()], title=title
            )
        self.stream.flush()

    def table(
        self, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, title: str = ""
    ) -> None:
        """Print a table; columns without a heading get none."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        def shown(cell: str) -> Text:
            return Text(printable(" ".join(cell.splitlines()), LONGEST))

        table = Table(title=shown(title) if title else None, title_justify="left")
        table.show_header = any(columns)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(shown, row))
        Console(file=self.stream).print(table)


@contextmanager
def output(as_json: bool) -> Iterator[Output]:
    """Keep stdout for the result; what anything else prints there goes to stderr.

    Of several processes that train together the first shows the result.
    """
    stdout = sys.stdout if is_first_process() else io.StringIO()
    with redirect_stdout(sys.stderr):
        yield Output(stdout, as_json)


def _text(value: Any) -> str:
    """A value as a table shows it; of a list of mappings, which only JSON holds, the length."""
    if isinstance(value, (list, tuple)):
        if any(isinstance(entry, Mapping) for entry in value):
            return f"{len(value):,} {'entry' if len(value) == 1 else 'entries'}"
        return ", ".join(map(_text, value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


SHARED = ("space", "data", "seed")
"""Sections of a config that every stage reads."""

Command = Sequence[str | Path]
"""Words as they are typed; what stands for something else, such as CONFIG, in capitals."""


def say_next(*commands: Command) -> None:
    """Say on stderr what can be typed next: `next: evobit search photos.yaml`."""
    say("next: " + "; ".join(_typed(command) for command in commands))


def shared(overrides: Sequence[str] | None) -> list[str]:
    """Those of the `--set` overrides that the next stage needs too, as words."""
    kept = [one for one in overrides or [] if one.partition("=")[0].split(".")[0] in SHARED]
    return [word for one in kept for word in ("--set", shlex.quote(one))]


def allowing(*names: str) -> list[str]:
    """`--allow NAME` for each that is code of the user's own and that a command's files name."""
    return [word for name in names if ":" in name for word in ("--allow", shlex.quote(name))]


def _typed(command: Command) -> str:
    words = [shlex.quote(str(word)) if isinstance(word, Path) else word for word in command]
    return " ".join(["evobit", *words])

"""The line that says which command comes next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from evobit.errors import say

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


def own_space(name: str) -> list[str]:
    """`--space NAME`, which a command needs that reads files of a space of the user's own."""
    return ["--space", shlex.quote(name)] if ":" in name else []


def _typed(command: Command) -> str:
    words = [shlex.quote(str(word)) if isinstance(word, Path) else word for word in command]
    return " ".join(["evobit", *words])

"""The examples that help ends with are commands that the program takes."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer import Context
from typer.main import get_command

from evobit.examples import EXAMPLES
from evobit.main import app


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_one_that_it_takes(name: str) -> None:
    program, *words = shlex.split(EXAMPLES[name])
    given = words[len(name.split()) :]
    assert [program, *words] == ["evobit", *name.split(), *given]
    COMMANDS[name].make_context(name, list(given))
    assert COMMANDS[name].get_help(Context(COMMANDS[name])).count("Example: evobit ") == 1


def test_there_is_none_of_a_command_that_is_gone() -> None:
    assert set(EXAMPLES) == set(COMMANDS)

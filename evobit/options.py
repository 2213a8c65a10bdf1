"""The arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from evobit import completion
from supernet.files import UserError

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML config.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Override a config field: search.population=20.",
        autocompletion=completion.fields,
    ),
]
WithCard = Annotated[
    bool, typer.Option("--card/--no-card", help="Write a card beside it: what it is, as Markdown.")
]
Licence = Annotated[
    str | None,
    typer.Option(
        "--licence", metavar="TEXT", help="Of the weights, for the card [default: left to you]."
    ),
]


def _let_files_name(names: list[str] | None) -> list[str] | None:
    from supernet.plugins import allow

    allow(*names or ())
    return names


Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="NAME",
        callback=_let_files_name,
        help="Your own code that the files may name, and that is then run: FILE.py:NAME or "
        "MODULE:NAME. Repeatable.",
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse the same picture in two of train, search and test; all are read for it.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done: time, memory, disk.")
]
RunFolder = Annotated[
    Path | None,
    typer.Option("--run", metavar="DIR", help="Run folder [default: runs/CONFIG-STAGE]."),
]


def run_folder(config: Path, stage: str) -> Path:
    """Where a stage of a config runs unless told: `runs/<config name>-<stage>`."""
    return Path("runs") / f"{config.stem}-{stage}"


def read_limits(text: str) -> dict[str, float]:
    """What stands behind --limit, `max_ops=3.2e6,max_bits=8e6`, as a mapping.

    Raises:
        UserError: not names of limits and finite numbers.
    """
    from supernet.costs.limits import limits_from

    found = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            raise UserError(f"--limit {text}: expected NAME=NUMBER, as in max_ops=3.2e6") from None
    limits_from(found, f"--limit {text}")
    return found

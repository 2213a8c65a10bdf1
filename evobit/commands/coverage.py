"""`evobit coverage`: what a supernet's training reached of what a search can ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evobit.options import Allow, AsJson, read_limits
from evobit.output import output


def coverage(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="Run folder of a finished supernet; or of a search, whose limits then count.",
        ),
    ],
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="max_COST=NUMBER,...",
            help="Also count the paths within this limit; a search's own of that name is replaced.",
        ),
    ] = None,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Show which choices and costs a supernet was trained on.

    Beside those of the whole space. The paths of its training are drawn once more, from the seed
    and the steps.
    """
    from search.coverage.coverage import cover_run

    asked = {name: limit for text in limits or [] for name, limit in read_limits(text).items()}
    with output(as_json) as out:
        found = cover_run(run, asked)
        out.show(found.as_dict(), text=found.table())

"""`evobit evaluate` and `evobit report`: how good a network, or a run, really is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evobit.options import AsJson
from evobit.output import output


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Trained network.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of class folders [default: its test split]."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="Your own search space, where the network is of it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a trained network on labelled images."""
    from evaluate.score import evaluate_checkpoint
    from supernet.spaces import space_class

    with output(as_json) as out:
        if space is not None:
            space_class(space)  # naming it here is what permits a file to name it
        out.show(evaluate_checkpoint(checkpoint, data), title=str(checkpoint))


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a retraining.")],
    as_json: AsJson = False,
) -> None:
    """Print the table of finalists against baselines.

    Also written into the run folder, as report.md and report.json.
    """
    from evaluate.report import report as make

    with output(as_json) as out:
        made = make(run)
        out.show(made.as_dict(), text=made.markdown)

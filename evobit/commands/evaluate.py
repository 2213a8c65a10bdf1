"""`evobit evaluate` and `evobit report`: how good a network, or a run, really is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evobit.options import AsJson
from evobit.output import output
from supernet.files import UserError


def evaluate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="Trained network; packed model (.evobit, zoo:NAME)."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of class folders [default: its test split]."),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="Your own search space, where the network is of it."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="With a packed model: the network it came from, compared image by image; "
            "its test split is scored unless there is --data.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a trained network or a packed model on labelled images."""
    from deploy.packed_file import SUFFIX, find_model, is_packed
    from evaluate.packing import evaluate_packed
    from evaluate.score import evaluate_checkpoint
    from supernet.spaces import space_class

    with output(as_json) as out:
        if space is not None:
            space_class(space)  # naming it here is what permits a file to name it
        path = find_model(model)
        if is_packed(path):
            out.show(evaluate_packed(path, data, against), title=model)
            return
        if against is not None:
            raise UserError(f"--against: {model} is no packed model ({SUFFIX})")
        out.show(evaluate_checkpoint(path, data), title=model)


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run folder of a retraining or an audit.")
    ],
    as_json: AsJson = False,
) -> None:
    """Print the table of finalists against baselines, or of an audit.

    Also written into the run folder, as report.md and report.json.
    """
    from evaluate.audit import STAGE, AuditReport
    from evaluate.report import report as make
    from training.run_folder import open_finished, stage_in

    with output(as_json) as out:
        if stage_in(run) == STAGE:
            audited = AuditReport.read(open_finished(run, STAGE).path)
            out.show(audited.figures, text=audited.markdown)
            return
        made = make(run)
        out.show(made.as_dict(), text=made.markdown)

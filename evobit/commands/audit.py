"""`evobit audit`: how well a supernet ranks architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evobit.commands.strict import demand
from evobit.options import Allow, AsJson, Config, DryRun, Overrides, RunFolder, Strict, run_folder
from evobit.output import output
from evobit.resuming import announced, check_folder, foretell


def audit(
    config: Config,
    run: RunFolder = None,
    supernet: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Supernet's run for the config's own sampling rule [default: trained here].",
        ),
    ] = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Measure how well a supernet ranks architectures.

    Against networks trained alone; everything is scored on the search split. On an unfinished run
    folder it resumes.
    """
    from evaluate.audit.config import AuditStage
    from evaluate.audit.run import audit as make
    from evobit.config import load_stage

    with output(as_json) as out:
        stage = load_stage(config, AuditStage, overrides or [])
        folder = run or run_folder(config, "audit")
        check_folder(folder)
        demand(stage.data, strict=strict)
        if dry_run:
            foretell(folder, "audit", stage)
            from evaluate.estimate.run import estimate_audit

            planned = estimate_audit(stage, folder, supernet)
            out.show(planned, title=f"would audit in {folder}")
            return
        with announced(folder, "audit", stage):
            report = make(stage, folder, supernet)
        out.show(report.figures, text=report.markdown)

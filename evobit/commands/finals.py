"""`evobit finals`: who of a search's best is the best, judged by longer trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evobit.commands.strict import demand
from evobit.options import Allow, AsJson, Config, DryRun, Overrides, RunFolder, Strict, run_folder
from evobit.output import allowing, output, say_next
from evobit.resuming import announced, check_folder, foretell


def finals(
    config: Config,
    search: Annotated[
        Path | None,
        typer.Argument(metavar="SEARCH_RUN", help="[default: runs/CONFIG-search]"),
    ] = None,
    run: RunFolder = None,
    supernet: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Supernet's run, where it is not where the search recorded it."
        ),
    ] = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Judge the best of a search and hand-made designs.

    All are trained on from the supernet's weights, rung by rung, and the better part goes on; they
    are judged on images that the search has not looked at. On an unfinished run folder it resumes.
    """
    from evaluate.finals.config import FinalsStage
    from evaluate.finals.entrants import DESIGN, FOUND, GIVEN
    from evaluate.finals.report import as_markdown
    from evaluate.finals.run import FILES, WINNER
    from evaluate.finals.run import finals as hold
    from evobit.commands.contest import contest_of
    from evobit.config import load_stage

    with output(as_json) as out:
        stage = load_stage(config, FinalsStage, overrides or [])
        folder = run or run_folder(config, "finals")
        searched = search or run_folder(config, "search")
        check_folder(folder)
        demand(stage.data, strict=strict)
        if dry_run:
            from evaluate.estimate.run import estimate_finals

            foretell(folder, "finals", stage)
            is_held = search is not None or searched.exists()
            contest = contest_of(stage, searched, supernet) if is_held else None
            planned = estimate_finals(stage, folder, contest)
            out.show(planned, title=f"would hold finals in {folder}")
            return
        with announced(folder, "finals", stage):
            summary = hold(stage, contest_of(stage, searched, supernet), folder)
        out.show(summary, text=as_markdown(summary).rstrip())
        if not as_json:
            others = [FILES[DESIGN]] if DESIGN in summary else []
            others += [WINNER] if summary["kind"] == GIVEN else []
            against = [f"--against={folder / file}" for file in others]
            allowed = allowing(stage.space["name"])
            say_next(["retrain", config, folder / FILES[FOUND], *against, *allowed])

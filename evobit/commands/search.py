"""`evobit search`: find architectures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from evobit.commands.strict import demand
from evobit.errors import say
from evobit.options import Allow, AsJson, Config, DryRun, Overrides, RunFolder, Strict, run_folder
from evobit.output import Output, allowing, output, say_next
from evobit.resuming import announced, check_folder, foretell
from supernet.files import UserError


def search(
    config: Config,
    run: RunFolder = None,
    supernet: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Supernet's run [default: runs/CONFIG-supernet]."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Ray cluster to score on [default: a private Ray]."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Ray workers; 0 scores in this process.", min=0, max=10_000),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Known accuracies to search instead of a supernet, in seconds."
        ),
    ] = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Search for the best architectures within limits.

    On an unfinished run folder it resumes; on a finished one it goes on if the budget grew.
    """
    from evobit.config import load_stage
    from search.config import SearchStage
    from search.limits.latency import open_latency
    from search.run import as_begun, check_machine, run_search
    from supernet.spaces import space_from_description

    with output(as_json) as out:
        if table is not None:
            unused = {
                "supernet": supernet,
                "address": address,
                "workers": workers,
                "strict": strict or None,
            }
            _search_table(config, table, run, overrides or [], unused, out, dry_run=dry_run)
            return
        how = {"address": json.dumps(address) if address else None, "workers": workers}
        given = [f"search.{name}={value}" for name, value in how.items() if value is not None]
        stage = load_stage(config, SearchStage, [*(overrides or []), *given])
        if address and stage.search.workers == 0:
            raise UserError("--address needs workers: say how many with --workers")
        space = space_from_description(stage.space)
        space.check_searchable()
        folder = run or run_folder(config, "search")
        check_folder(folder)
        demand(stage.data, strict=strict)
        if dry_run:
            foretell(folder, "search", stage)
            from evaluate.estimate.run import estimate
            from search.problem import problem_of

            check_machine(stage.search)
            say(str(problem_of(as_begun(stage, folder)).designs))
            out.show(estimate(stage, folder), title=f"would search in {folder}")
            return
        open_latency(stage.search, space)  # refused before all else
        trained = supernet or run_folder(config, "supernet")
        if not trained.is_dir():
            raise UserError(
                f"no supernet run in {trained}; 'evobit train-supernet {config}' makes one"
            )
        with announced(folder, "search", stage):
            summary = run_search(stage, folder, trained)
        shown = summary if as_json else {**summary, **_front_in_words(summary)}
        out.show(shown, title=f"search in {folder}")
        if not as_json:
            say_next(["export", folder, "-o", "best.json", *allowing(stage.space["name"])])


def _search_table(
    config: Path,
    table: Path,
    run: Path | None,
    overrides: Sequence[str],
    unused: Mapping[str, Any],
    out: Output,
    *,
    dry_run: bool,
) -> None:
    """Search known accuracies; refuses options that are of a supernet's search alone."""
    from evobit.config import load_stage
    from search.table_run import STAGE, TableStage, problem_on_table, search_table

    for name, value in unused.items():
        if value is not None:
            raise UserError(f"--{name}: not with --table, whose scores are known")
    stage = load_stage(config, TableStage, overrides)
    folder = run or run_folder(config, STAGE)
    check_folder(folder)
    if dry_run:
        foretell(folder, STAGE, stage)
        space = problem_on_table(stage, table).table.space
        would = {"table": space.table, "architectures": space.size}
        out.show({**would, "evaluations": stage.search.budget}, title=f"would search in {folder}")
        return
    with announced(folder, STAGE, stage):
        summary = search_table(stage, folder, table)
    shown = summary if out.as_json else {**summary, **_front_in_words(summary)}
    out.show(shown, title=f"search of a table in {folder}")


def _front_in_words(summary: Mapping[str, Any]) -> dict[str, str]:
    """What a list of numbers alone would not say: of what, and where they are."""
    if not (front := summary.get("front")):
        return {}
    what = "candidate" if len(front) == 1 else f"{len(front):,} candidates"
    return {"front": f"{what} {', '.join(map(str, front))} (index in history.jsonl)"}

"""`evobit search` and `evobit export`: find architectures and hand them over."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from evobit.options import AsJson, Config, DryRun, Overrides, RunFolder, run_folder
from evobit.output import output
from evobit.resuming import announced, check_folder
from supernet.files import UserError


def search(
    config: Config,
    run: RunFolder = None,
    supernet: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Supernet's run [default: runs/CONFIG-supernet]."),
    ] = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Search for the best architectures within limits.

    On an unfinished run folder it resumes; on a finished one it goes on if the budget grew.
    """
    from evobit.config import load_stage
    from search.run import SearchStage, run_search

    with output(as_json) as out:
        stage = load_stage(config, SearchStage, overrides or [])
        folder = run or run_folder(config, "search")
        check_folder(folder)
        if dry_run:
            from evaluate.estimate import estimate

            _check_limits(stage)
            out.show(estimate(stage, folder), title=f"would search in {folder}")
            return
        trained = supernet or run_folder(config, "supernet")
        if not trained.is_dir():
            raise UserError(
                f"no supernet run in {trained}; 'evobit train-supernet {config}' makes one"
            )
        with announced(folder, "search", stage):
            summary = run_search(stage, folder, trained)
        out.show(summary, title=f"search in {folder}")


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a search.")],
    to: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Architecture file.")
    ] = Path("best.json"),
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="max_COST=NUMBER,...",
            help="The best under this limit; each use gives one more file.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the best architectures of a search."""
    from search.export import export_best

    with output(as_json) as out:
        files = export_best(run, to, [_limit(text) for text in limits or []])
        out.show({"files": files}, text="\n".join(map(str, files)))


def _limit(text: str) -> dict[str, float]:
    """`max_ops=3.2e6,max_bits=8e6` as a mapping."""
    found = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            found[name.strip()] = limit = float(number)
        except ValueError:
            raise UserError(f"--limit {text}: expected NAME=NUMBER, as in max_ops=3.2e6") from None
        if not math.isfinite(limit):
            raise UserError(f"--limit {text}: expected a finite number, as in max_ops=3.2e6")
    return found


def _check_limits(stage: Any) -> None:
    """Refuse limits that nothing keeps, as `run_search` does before it starts."""
    from search.feasibility import check_feasibility
    from search.measure import CostMeter
    from supernet.spaces import space_from_description
    from training.seeds import stream

    space = space_from_description(stage.space)
    check_feasibility(
        space,
        CostMeter(space),
        stage.search.limits(),
        stage.search.feasibility_samples,
        stream(stage.seed, "feasibility"),
    )

"""`evobit search` and `evobit export`: find architectures and hand them over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evobit.errors import CommandFailed
from evobit.options import (
    AsJson,
    Config,
    DryRun,
    Overrides,
    RunFolder,
    limits_from,
    run_folder,
)
from evobit.output import Output, output
from evobit.resuming import announced, check_folder
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
        typer.Option(metavar="N", help="Ray workers; 0 scores in this process.", min=0),
    ] = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Search for the best architectures within limits.

    On an unfinished run folder it resumes; on a finished one it goes on if the budget grew.
    """
    from evobit.config import load_stage
    from search.latency import open_latency
    from search.run import SearchStage, run_search
    from supernet.spaces import space_from_description

    with output(as_json) as out:
        how = {"address": json.dumps(address) if address else None, "workers": workers}
        given = [f"search.{name}={value}" for name, value in how.items() if value is not None]
        stage = load_stage(config, SearchStage, [*(overrides or []), *given])
        if address and stage.search.workers == 0:
            raise UserError("--address needs workers: say how many with --workers")
        space = space_from_description(stage.space)
        space.check_searchable()
        folder = run or run_folder(config, "search")
        check_folder(folder)
        if dry_run:
            from evaluate.estimate import estimate

            _check_feasibility(stage)
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
        out.show(summary, title=f"search in {folder}")


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|NETWORK", help="Run folder of a search; or a trained network (a file)."
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Architecture file [default: best.json]; with --pareto a folder [front]; of a "
            "network [signs.safetensors].",
        ),
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="max_COST=NUMBER,...",
            help="The best under this limit; each use gives one more file.",
        ),
    ] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="The whole front of top-1 and costs, with a plot.")
    ] = False,
    objectives: Annotated[
        list[str] | None,
        typer.Option(
            "--objective",
            metavar="COST",
            help="A cost of --pareto's front [default: those of the search].",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Images to check a network on [default: its search split]."
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(help="Images to check a network on, at most [default: 200].", min=1),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="Your own search space, where a network is of it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the best architectures of a search, its Pareto front, or a network's signs.

    Of a trained network it writes the same network with binary weights of exactly -1 and +1, whose
    scale BatchNorm has taken. Every layer is checked on images first; a network that computes
    something else is not written (exit code 1).
    """
    if limits and pareto:
        raise UserError("--limit is for single architectures: leave it or --pareto out")
    if objectives and not pareto:
        raise UserError("--objective is for --pareto only")
    asked = [limits_from(text) for text in limits or []]
    if not run.exists():
        raise UserError(f"{run}: not found, expected a search's run folder or a trained network")
    of_run = {"--limit": limits, "--pareto": pareto}
    of_network = {"--data": data, "--images": images, "--space": space}
    if run.is_file():
        _refuse(of_run, f"for a search's run folder; {run} is a file")
        with output(as_json) as out:
            _export_signs(out, run, to or Path("signs.safetensors"), data, images or 200, space)
        return
    _refuse(of_network, f"for a trained network's file; {run} is none")
    from search.export import export_best
    from search.export_front import export_front

    with output(as_json) as out:
        if pareto:
            files = export_front(run, to or Path("front"), objectives or [])
        else:
            files = export_best(run, to or Path("best.json"), asked)
        out.show({"files": files}, text="\n".join(map(str, files)))


def _refuse(options: dict[str, Any], reason: str) -> None:
    """Refuse the first option that was given."""
    if given := [name for name, value in options.items() if value]:
        raise UserError(f"{given[0]} is {reason}")


def _export_signs(
    out: Output, network: Path, to: Path, data: Path | None, images: int, space: str | None
) -> None:
    """Write and show a network of weights of -1 and +1."""
    from evaluate.exact_signs import ExportRefused, export_signs
    from supernet.spaces import space_class

    if space is not None:
        space_class(space)  # naming it here is what permits a file to name it
    try:
        exported = export_signs(network, to, data, images)
    except ExportRefused as error:
        raise CommandFailed(str(error)) from error
    out.show(exported.as_dict(), title=str(to))


def _check_feasibility(stage: Any) -> None:
    """Refuse unfit limits, objectives and architectures given, as `run_search` does at first."""
    from search.feasibility import check_feasibility
    from search.front import Objectives
    from search.given import load_given
    from search.latency import measured_costs, open_latency
    from search.measure import CostMeter
    from supernet.spaces import space_from_description
    from training.seeds import stream

    space = space_from_description(stage.space)
    measure = CostMeter(space, measured_costs(open_latency(stage.search, space)))
    found = check_feasibility(
        space,
        measure,
        stage.search.limits(),
        stage.search.feasibility_samples,
        stream(stage.seed, "feasibility"),
    )
    Objectives.within(stage.search.minimised, found.as_dict())
    load_given(stage.search.start_with or (), space, measure, found.constraints)

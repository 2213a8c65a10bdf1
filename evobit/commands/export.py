"""`evobit export`: hand over architectures of a search, or a trained network in some format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.exporters import FORMATS
from evobit.commands.deploy import note_card
from evobit.commands.strict import demand_of
from evobit.completion import zoo_models
from evobit.errors import CommandFailed
from evobit.options import Allow, AsJson, Licence, Strict, WithCard, read_limits
from evobit.output import Output, output, say_next
from supernet.files import UserError

if TYPE_CHECKING:
    from evaluate.shipping.written import Written

FILES = {"signs": "signs.safetensors", **{name: one.file for name, one in FORMATS.items()}}
FOLDER = "c_sources"
OUTPUTS = {**FILES, "c": FOLDER}
"""Where a network is written to in each format, if no place is given."""

if TYPE_CHECKING:
    Format = str
else:
    Format = StrEnum("Format", {name.upper(): name for name in OUTPUTS})


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|NETWORK",
            help="Run folder of a search; or a trained network or packed model (a file, zoo:NAME).",
            autocompletion=zoo_models,
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Architecture file [default: best.json]; with --pareto a folder [front]; of a "
            f"network [{', '.join(FILES.values())}; of c a folder, {FOLDER}].",
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option("--format", help="Of a network [default: signs].", show_default=False),
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="max_COST=NUMBER,...",
            help="The best under this limit; each use gives one more file.",
        ),
    ] = None,
    weights: Annotated[
        bool,
        typer.Option(
            "--weights", help="The best network itself, with the supernet's weights, untrained."
        ),
    ] = False,
    top: Annotated[
        int, typer.Option("--top", metavar="K", help="Of --weights the K best.", min=1, max=1000)
    ] = 1,
    supernet: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Of --weights, where the search's supernet lies now, if it moved."
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
        typer.Option(
            help="Images to check a network on, at most [default: 200].", min=1, max=100_000
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option(metavar="SPACE", help="Your own search space, where a network is of it."),
    ] = None,
    with_card: WithCard = True,
    licence: Licence = None,
    strict: Strict = False,
    allow: Allow = None,
    as_json: AsJson = False,
) -> None:
    """Write what a search found, or a network in a format.

    Of a search the best architectures, or its Pareto front. Of a network, signs is the same network
    with binary weights of exactly -1 and +1, whose scale BatchNorm has taken; the other formats are
    for other programs. Each is checked on images first, by the program that it is for; what
    computes something else is not written (exit code 1). Its card, FILE.md (of a folder CARD.md),
    says what it is; one that you edited is left.
    """
    from deploy.packed_file import find_model

    run = find_model(run)
    if limits and pareto:
        raise UserError("--limit is for single architectures: leave it or --pareto out")
    if objectives and not pareto:
        raise UserError("--objective is for --pareto only")
    asked = [read_limits(text) for text in limits or []]
    if not run.exists():
        raise UserError(f"{run}: not found, expected a search's run folder or a trained network")
    of_run = {"--limit": limits, "--pareto": pareto, "--weights": weights}
    _refuse(
        {"--top": top > 1, "--supernet": supernet} if not weights else {"--pareto": pareto},
        "for --weights only" if not weights else "for architectures: leave it or --weights out",
    )
    if weights and len(asked) > 1:
        raise UserError("--limit: give --weights one limit; --top K writes several networks")
    of_network = {"--format": format, "--data": data, "--images": images, "--space": space}
    of_network |= {"--licence": licence, "--strict": strict}
    if run.is_file():
        _refuse(of_run, f"for a search's run folder; {run} is a file")
        from evaluate.shipping.cards import write_card_of

        name = str(format or "signs")
        with output(as_json) as out:
            target, count = to or Path(OUTPUTS[name]), images or 200
            made = _export_file(run, name, target, data, count, space, strict=strict)
            document = made.as_dict()
            if with_card:
                card = write_card_of(
                    made.path, run, document, data, name, made.files, licence=licence
                )
                document["card"] = note_card(made.path, card)
            out.show(document, title=str(made.path))
        return
    _refuse(of_network, f"for a trained network's file; {run} is none")
    from search.results.export import export_best
    from search.results.export_front import export_front

    with output(as_json) as out:
        if weights:
            _export_weights(out, run, to, top, asked, supernet)
            return
        if pareto:
            files = export_front(run, to or Path("front"), objectives or [])
        else:
            files = export_best(run, to or Path("best.json"), asked)
        out.show({"files": files}, text="\n".join(map(str, files)))
        if not as_json:
            # Of a front, its documents aside, one network is chosen.
            chosen = [files[0].with_name("architecture-N.json")] if pareto else files
            say_next(["retrain", "CONFIG", *chosen])


def _export_weights(
    out: Output,
    run: Path,
    to: Path | None,
    top: int,
    limits: list[dict[str, float]],
    supernet: Path | None,
) -> None:
    """The networks as a search scored them, and what to do with the first."""
    from search.results.export_weights import export_inherited

    output = to or Path("network.safetensors")
    made = export_inherited(run, output, top, limits[0] if limits else None, supernet)
    lines, document = [], []
    for one in made:
        found = {"file": one.path, "candidate": one.candidate, "search_top1": one.search_top1}
        score = f"{one.search_top1:.2f} %"
        if one.search_loss is not None:
            found["search_loss"] = one.search_loss
            score += f", cross-entropy {one.search_loss:.4f} nats"
        document.append(found)
        lines.append(f"{one.path} (candidate {one.candidate}, {score} on the search split)")
    out.show({"networks": document}, text="\n".join(lines))
    say_next(["pack", made[0].path], ["evaluate", made[0].path])


def _refuse(options: dict[str, Any], reason: str) -> None:
    """Refuse the first option that was given."""
    if given := [name for name, value in options.items() if value]:
        raise UserError(f"{given[0]} is {reason}")


def _export_file(
    network: Path,
    format: str,
    to: Path,
    data: Path | None,
    images: int,
    space: str | None,
    *,
    strict: bool,
) -> Written:
    """Write a network in a format."""
    from evaluate.shipping.exporting import export_network
    from evaluate.shipping.written import Refused
    from supernet.spaces import space_class

    if space is not None:
        space_class(space)  # naming it here is what permits a file to name it
    demand_of(network, strict=strict)
    try:
        return export_network(network, format, to, data, images)
    except Refused as error:
        raise CommandFailed(str(error)) from error

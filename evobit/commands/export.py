"""`evobit export`: hand over architectures of a search, or a trained network in some format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from evobit.commands.deploy import note_card
from evobit.errors import CommandFailed
from evobit.options import AsJson, Licence, WithCard, limits_from
from evobit.output import output, say_next
from supernet.files import UserError


class Format(StrEnum):
    """Of a trained network."""

    SIGNS = "signs"
    ONNX = "onnx"
    QONNX = "qonnx"
    TORCH = "torch"
    OPENVINO = "openvino"
    C = "c"


def export(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|NETWORK",
            help="Run folder of a search; or a trained network or packed model (a file, zoo:NAME).",
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Architecture file [default: best.json]; with --pareto a folder [front]; of a "
            "network [signs.safetensors, network.onnx, network.qonnx.onnx, network.pt2, "
            "network.xml; of c a folder, c_sources].",
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
    with_card: WithCard = True,
    licence: Licence = None,
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
    asked = [limits_from(text) for text in limits or []]
    if not run.exists():
        raise UserError(f"{run}: not found, expected a search's run folder or a trained network")
    of_run = {"--limit": limits, "--pareto": pareto}
    of_network = {"--format": format, "--data": data, "--images": images, "--space": space}
    of_network["--licence"] = licence
    if run.is_file():
        _refuse(of_run, f"for a search's run folder; {run} is a file")
        with output(as_json) as out:
            document, made = _export_file(
                run, format or Format.SIGNS, to, data, images or 200, space
            )
            if with_card:
                card = _write_card(made, run, document, data, format or Format.SIGNS, licence)
                document["card"] = note_card(made, card)
            out.show(document, title=str(made))
        return
    _refuse(of_network, f"for a trained network's file; {run} is none")
    from search.results.export import export_best
    from search.results.export_front import export_front

    with output(as_json) as out:
        if pareto:
            files = export_front(run, to or Path("front"), objectives or [])
        else:
            files = export_best(run, to or Path("best.json"), asked)
        out.show({"files": files}, text="\n".join(map(str, files)))
        if not as_json:
            # Of a front, its documents aside, one network is chosen.
            chosen = [files[0].with_name("architecture-N.json")] if pareto else files
            say_next(["retrain", "CONFIG", *chosen])


def _refuse(options: dict[str, Any], reason: str) -> None:
    """Refuse the first option that was given."""
    if given := [name for name, value in options.items() if value]:
        raise UserError(f"{given[0]} is {reason}")


def _export_file(
    network: Path,
    format: Format,
    to: Path | None,
    data: Path | None,
    images: int,
    space: str | None,
) -> tuple[dict[str, Any], Path]:
    """Write a network in a format; returns what was checked, and the file or folder."""
    from supernet.spaces import space_class

    if space is not None:
        space_class(space)  # naming it here is what permits a file to name it
    if format is Format.SIGNS:
        return _export_signs(network, to or Path("signs.safetensors"), data, images)
    if format is Format.C:
        return _export_c(network, to or Path("c_sources"), data, images)
    return _export_format(network, format, to, data, images)


def _export_signs(
    network: Path, to: Path, data: Path | None, images: int
) -> tuple[dict[str, Any], Path]:
    """A network of weights of -1 and +1."""
    from deploy.packed_file import is_packed
    from evaluate.shipping.signs import ExportRefused, export_signs

    if is_packed(network):
        others = ", ".join(one.value for one in Format if one is not Format.SIGNS)
        raise UserError(
            f"{network}: a packed model holds signs already; give --format one of {others}"
        )
    try:
        return export_signs(network, to, data, images).as_dict(), to
    except ExportRefused as error:
        raise CommandFailed(str(error)) from error


def _export_c(
    network: Path, to: Path, data: Path | None, images: int
) -> tuple[dict[str, Any], Path]:
    """A network as C sources."""
    from evaluate.shipping.c_exporting import export_c_sources
    from evaluate.shipping.exporting import FormatRefused

    try:
        return export_c_sources(network, to, data, images).as_dict(), to
    except FormatRefused as error:
        raise CommandFailed(str(error)) from error


def _export_format(
    network: Path, format: Format, to: Path | None, data: Path | None, images: int
) -> tuple[dict[str, Any], Path]:
    """A network for another program."""
    from deploy.exporters import FORMATS
    from evaluate.shipping.exporting import FormatRefused, export_network

    to = to or Path(FORMATS[format].file)
    try:
        return export_network(network, format.value, to, data, images).as_dict(), to
    except FormatRefused as error:
        raise CommandFailed(str(error)) from error


def _write_card(
    made: Path,
    network: Path,
    document: dict[str, Any],
    data: Path | None,
    format: Format,
    licence: str | None,
) -> Path | None:
    from evaluate.shipping.cards import write_card_of

    files = list(map(Path, document.get("files", [made])))
    return write_card_of(made, network, document, data, format.value, files, licence=licence)

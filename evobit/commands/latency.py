"""`evobit latency-table`: tables of measured latency, from this device or another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from evobit.errors import say
from evobit.options import AsJson, Overrides
from evobit.output import output
from supernet.files import UserError

app = typer.Typer(
    help="Make and show tables of measured latency.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

ConfigOption = Annotated[
    Path, typer.Option("--config", metavar="CONFIG", help="YAML config with the space.")
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.")]
Threads = Annotated[int, typer.Option(help="Threads a network runs on.", min=1, max=256)]
Batch = Annotated[int, typer.Option(help="Images a call.", min=1, max=1000)]

NAMED = 3
"""Layers in torch that a build names."""


@app.command("build")
def build(
    config: ConfigOption,
    to: Output,
    threads: Threads = 1,
    batch: Batch = 1,
    rounds: Annotated[int, typer.Option(help="Rounds over all networks.", min=2, max=10_000)] = 10,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure every layer of a space on this machine.

    Layers that have no 1-bit kernel run in torch. An interrupted build goes on where it stopped.
    """
    from latency_tables.build import BuildSettings, build_table
    from latency_tables.layer_keys import distinct_layers, layers_in_torch
    from latency_tables.predictor import check_predictor
    from training.run_files.progress import Progress

    with output(as_json) as out:
        space = _space(config, overrides)
        settings = BuildSettings(threads=threads, batch=batch, rounds=rounds)
        if in_torch := layers_in_torch(space):
            more = f" and {len(in_torch) - NAMED} more" if len(in_torch) > NAMED else ""
            say(
                f"note: {len(in_torch)} of {len(distinct_layers(space))} layers have no 1-bit "
                f"kernel and run in torch: "
                f"{'; '.join(in_torch[:NAMED])}{more}"
            )
        started: list[Progress] = []

        def advance(done: int, total: int) -> None:
            if not started:
                started.append(Progress("latency-table", total, done - 1).__enter__())
            started[0].advance()

        try:
            table = build_table(space, to, settings, advance)
        finally:
            for progress in started:
                progress.__exit__(None, None, None)
        out.show(_summary(table), title=str(to))
        if table.header.held_out is None:
            say(
                f"note: space '{space.name}' has too few networks to fit a correction or to test "
                f"it: the table predicts the plain sum of a network's layers"
            )
            return
        try:
            check_predictor(table, to)
        except UserError as error:
            say(f"note: {error}; was the machine busy while it was measured?")


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Latency table.")],
    plot: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also draw layers.svg and networks.svg into this folder."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a table, and how well it predicts.

    Milliseconds by layer and groups.
    """
    from latency_tables.plot import (
        MOST_SHOWN,
        by_groups,
        predicted_against_measured,
        rows_by_groups,
    )
    from latency_tables.table import load_table
    from supernet.files import write_text

    with output(as_json) as out:
        table = load_table(file)
        if plot is not None:
            write_text(plot / "layers.svg", by_groups(table))
            if (networks := predicted_against_measured(table)) is not None:
                write_text(plot / "networks.svg", networks)
            say(f"drawn into {plot}")
        if as_json:
            layers = table.frame.reset_index().to_dict("records")
            out.show({**_summary(table), "layers": layers})
            return
        heads, rows = rows_by_groups(table)
        out.table(heads, rows[:MOST_SHOWN])
        if (more := len(rows) - MOST_SHOWN) > 0:
            say(f"note: {more:,} more rows are not shown; --json gives all")
        out.show(_summary(table), title=str(file))


@app.command("export-layers")
def export_layers(
    config: ConfigOption,
    to: Output,
    networks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write whole networks that test the prediction."),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write the layers that another device must measure, as CSV."""
    from latency_tables.exchange import export_layers as export
    from latency_tables.exchange import export_networks

    with output(as_json) as out:
        space = _space(config, overrides)
        result: dict[str, Any] = {"file": to, "layers": export(space, to)}
        if networks is not None:
            result["networks"] = export_networks(space, networks)
        out.show(result)


@app.command("import")
def import_(
    rows: Annotated[Path, typer.Argument(metavar="CSV", help="Columns: layer, latency_ms.")],
    config: ConfigOption,
    to: Output,
    device: Annotated[str, typer.Option(help="Name of the device that was measured.")],
    threads: Threads = 1,
    batch: Batch = 1,
    networks: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Measured whole networks.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Make a table of what another device measured."""
    from latency_tables.exchange import import_table

    with output(as_json) as out:
        space = _space(config, overrides)
        table = import_table(
            space, rows, to, device=device, threads=threads, batch=batch, networks=networks
        )
        out.show(_summary(table), title=str(to))


def _space(config: Path, overrides: list[str] | None) -> Any:
    from evobit.config import load_stage
    from supernet.spaces import space_from_description
    from training.supernet_stage import SupernetStage

    return space_from_description(load_stage(config, SupernetStage, overrides or []).space)


def _summary(table: Any) -> dict[str, Any]:
    """The header without what is long, and the number of layers."""
    from dataclasses import asdict

    header = asdict(table.header)
    del header["points"], header["space"]
    return {"layers": len(table.frame), "space": table.header.space["name"], **header}

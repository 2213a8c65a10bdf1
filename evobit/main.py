"""The `evobit` program: its commands, and how it ends.

A new command is a function in a file of `evobit/commands/` and one line here. What is heavy
(torch, ray, pandas) is imported inside that function, so that `evobit --help` stays quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evobit.commands import (
    audit,
    cost,
    coverage,
    data,
    demo,
    deploy,
    doctor,
    evaluate,
    export,
    finals,
    latency,
    preview,
    search,
    training,
    watch,
    zoo,
)
from evobit.errors import exit_code
from evobit.examples import add_examples


class Sections(TyperGroup):
    """A group whose help lists each command under its `rich_help_panel`, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section a heading, in the order in which headings and commands were added."""
        width = max(map(len, self.commands))
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            heading = getattr(command, "rich_help_panel", None) or "Commands"
            # 6: the indent and what stands between the columns, as everywhere in help.
            summary = command.get_short_help_str(formatter.width - 6 - width)
            sections.setdefault(heading, []).append((name.ljust(width), summary))
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


app = typer.Typer(
    name="evobit",
    cls=Sections,
    help="Find, train and ship 1-bit convolutional networks.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help, in two thirds of the time
    context_settings={"help_option_names": ["-h", "--help"]},
)

PIPELINE, PACKED = "The pipeline", "Packed models"
RUNS, DEVICES = "Looking at runs", "Data and devices"

app.command("demo", rich_help_panel=PIPELINE)(demo.demo)
app.command("train-supernet", rich_help_panel=PIPELINE)(training.train_supernet)
app.command("search", rich_help_panel=PIPELINE)(search.search)
app.command("finals", rich_help_panel=PIPELINE)(finals.finals)
app.command("export", rich_help_panel=PIPELINE)(export.export)
app.command("pretrain", rich_help_panel=PIPELINE)(training.pretrain)
app.command("retrain", rich_help_panel=PIPELINE)(training.retrain)
app.command("report", rich_help_panel=PIPELINE)(evaluate.report)
app.command("pack", rich_help_panel=PIPELINE)(deploy.pack)
app.command("predict", rich_help_panel=PACKED)(deploy.predict)
app.command("evaluate", rich_help_panel=PACKED)(evaluate.evaluate)
app.command("bench", rich_help_panel=PACKED)(deploy.bench)
app.command("zoo", rich_help_panel=PACKED)(zoo.zoo)
app.command(
    "watch",
    rich_help_panel=RUNS,
    short_help="Show how far runs are, the best so far, the time left.",
)(watch.watch)
app.command("coverage", rich_help_panel=RUNS)(coverage.coverage)
app.command("audit", rich_help_panel=RUNS)(audit.audit)
app.command("preview", rich_help_panel=DEVICES)(preview.preview)
app.command("cache", rich_help_panel=DEVICES)(data.cache)
app.command("cost", rich_help_panel=DEVICES)(cost.cost)
app.command("doctor", rich_help_panel=DEVICES)(doctor.doctor)
app.add_typer(latency.app, name="latency-table", rich_help_panel=DEVICES)


add_examples(app)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"evobit {version('evobit')}")
        raise typer.Exit()


@app.callback()
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Find, train and ship 1-bit convolutional networks."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code: 0 done, 1 ran and failed, 2 wrong input."""
    given = list(arguments) or ["--help"]
    return exit_code(lambda: app(given, prog_name="evobit", standalone_mode=False))

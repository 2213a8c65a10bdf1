"""The `evobit` program: its commands, and how it ends.

A new command is a function in a file of `evobit/commands/` and one line here. What is heavy
(torch, ray, pandas) is imported inside that function, so that `evobit --help` stays quick.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer

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
    latency,
    preview,
    search,
    training,
    watch,
    zoo,
)
from evobit.errors import exit_code

app = typer.Typer(
    name="evobit",
    help="Find, train and ship 1-bit convolutional networks.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help, in two thirds of the time
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("train-supernet")(training.train_supernet)
app.command("pretrain")(training.pretrain)
app.command("search")(search.search)
app.command("export")(export.export)
app.command("retrain")(training.retrain)
app.command("report")(evaluate.report)
app.command("watch")(watch.watch)
app.command("audit")(audit.audit)
app.command("coverage")(coverage.coverage)
app.command("evaluate")(evaluate.evaluate)
app.command("pack")(deploy.pack)
app.command("predict")(deploy.predict)
app.command("bench")(deploy.bench)
app.add_typer(latency.app, name="latency-table")
app.command("zoo")(zoo.zoo)
app.command("cost")(cost.cost)
app.command("preview")(preview.preview)
app.command("cache")(data.cache)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code: 0 done, 1 ran and failed, 2 wrong input."""
    given = list(arguments) or ["--help"]
    return exit_code(lambda: app(given, prog_name="evobit", standalone_mode=False))

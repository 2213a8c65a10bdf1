"""The arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML config.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="Override a config field: search.population=20."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done: time, memory, disk.")
]
RunFolder = Annotated[
    Path | None,
    typer.Option("--run", metavar="DIR", help="Run folder [default: runs/CONFIG-STAGE]."),
]


def run_folder(config: Path, stage: str) -> Path:
    """Where a stage of a config runs unless told: `runs/<config name>-<stage>`."""
    return Path("runs") / f"{config.stem}-{stage}"

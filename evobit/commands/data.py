"""`evobit cache`: decode and resize a folder of images once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from evobit.errors import say
from evobit.options import AsJson
from evobit.output import output
from supernet.files import UserError
from training.run_files.progress import Progress


def cache(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of class folders.")],
    to: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="[default: DIR-cache-SIZE; of . and .. DIR/.cache-SIZE]",
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(min=8, max=1024, help="The networks' input: data.image_size.")
    ] = 224,
    stored: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=1536,
            help="data.stored_size [default: a config's, 256 for 224].",
        ),
    ] = None,
    resize: Annotated[Literal["crop", "pad"], typer.Option(help="data.resize.")] = "crop",
    channels: Annotated[int, typer.Option(min=1, max=3, help="3 in colour, 1 in grey.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Decode and resize a folder of images once.

    Name the result as data.cache in a config. It holds what networks of SIZE pixels need: of
    each image the square that training cuts its windows from.
    """
    from supernet.files.image_view import CHANNELS, View, usual_stored
    from training.data.cache import build_cache

    # Of `.` and `..` the folder itself is named alone: hidden inside it, where it is no class.
    named = folder.name not in ("", "..")
    usual = folder.with_name(f"{folder.name}-cache-{size}") if named else folder / f".cache-{size}"
    target = to or usual
    with output(as_json) as out, _progress("caching") as step:
        if channels not in CHANNELS:
            raise UserError(f"--channels {channels}: expected 1 or 3")
        try:
            view = View(size, stored or usual_stored(size, resize), channels, resize)
        except ValueError as error:
            raise UserError(f"--stored {stored}: {error}") from error
        build_cache(folder, target, view, progress=step)
        say(f"{target}: {view}")
        out.show({"cache": target, "size": size, "stored": view.stored}, text=str(target))


@contextmanager
def _progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A function that takes (done, total) and shows it; the total is known at its first call."""
    with ExitStack() as stack:
        shown: list[Progress] = []

        def step(done: int, total: int) -> None:
            if not shown:
                shown.append(stack.enter_context(Progress(label, total)))
            shown[0].advance(done - shown[0].done)

        yield step

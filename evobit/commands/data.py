"""`evobit cache`: decode and resize images once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evobit.commands.strict import demand
from evobit.errors import say
from evobit.options import AsJson, Strict
from evobit.output import output
from supernet.files import UserError
from training.run_files.progress import Progress

if TYPE_CHECKING:
    from training.data import DataConfig


def cache(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|CSV", help="Folder of class folders, or a list of images with labels."
        ),
    ],
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
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", metavar="DIR", help="Where a list's paths begin [default: its folder]."
        ),
    ] = None,
    strict: Strict = False,
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
    labels = folder if folder.suffix.lower() == ".csv" and not folder.is_dir() else None
    if labels is None and root is not None:
        raise UserError(f"--root is for a list of images (.csv); {folder} is none")
    if labels is not None:
        usual = folder.with_name(f"{folder.stem}-cache-{size}")
    target = to or usual
    with output(as_json) as out:
        if channels not in CHANNELS:
            raise UserError(f"--channels {channels}: expected 1 or 3")
        try:
            view = View(size, stored or usual_stored(size, resize), channels, resize)
        except ValueError as error:
            raise UserError(f"--stored {stored}: {error}") from error
        if strict:
            demand(_data_of(folder, labels, root, size), strict=True)
        images = folder if labels is None else root or labels.parent
        with _progress("caching") as step:
            build_cache(images, target, view, progress=step, labels=labels)
        say(f"{target}: {view}")
        out.show({"cache": target, "size": size, "stored": view.stored}, text=str(target))


def _data_of(folder: Path, labels: Path | None, root: Path | None, size: int) -> DataConfig:
    from training.data import DataConfig

    if labels is None:
        return DataConfig(name="imagefolder", root=folder, image_size=size)
    return DataConfig(name="imagelist", labels=labels, root=root, image_size=size)


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

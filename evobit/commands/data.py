"""`evobit cache`: decode and resize a folder of images once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from evobit.options import AsJson
from evobit.output import output
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
    size: Annotated[int, typer.Option(min=8, max=1024, help="Pixels a side of an image.")] = 224,
    as_json: AsJson = False,
) -> None:
    """Decode and resize a folder of images once.

    Name the result as data.cache in a config.
    """
    from training.data.cache import build_cache

    # Of `.` and `..` the folder itself is named alone: hidden inside it, where it is no class.
    named = folder.name not in ("", "..")
    usual = folder.with_name(f"{folder.name}-cache-{size}") if named else folder / f".cache-{size}"
    target = to or usual
    with output(as_json) as out, _progress("caching") as step:
        build_cache(folder, target, size, progress=step)
        out.show({"cache": target, "size": size}, text=str(target))


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

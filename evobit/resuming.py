"""What a command finds in its run folder, said on stderr before or after the stage runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from evobit.errors import say
from supernet.files import UserError

if TYPE_CHECKING:
    from training.stage import Stage

RESUMING = "resuming"
FINISHED = "already finished; nothing to do"


def check_folder(path: Path) -> None:
    """Demand that a run folder can be at `path`: nothing there or on the way is a file.

    Raises:
        UserError: a file is.
    """
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"--run {path}: {place} is a file; expected a folder")


@contextmanager
def announced(path: Path, stage_name: str, stage: Stage) -> Iterator[None]:
    """Run a stage inside: says that it resumes, or afterwards that it had nothing to do.

    Of a folder that the stage will refuse nothing is said: the refusal is the only line.
    """
    found = None
    with suppress(UserError):
        found = _found(path, stage_name, stage)
    if found == RESUMING:
        say(f"{path}: {found}")
    yield
    if found == FINISHED:
        say(f"{path}: {found}")


def foretell(path: Path, stage_name: str, stage: Stage) -> None:
    """Say before a dry run what the run itself would say of its folder, a refusal too."""
    try:
        found = _found(path, stage_name, stage)
    except UserError as error:
        say(str(error))
    else:
        if found is not None:
            say(f"{path}: {found}")


def _found(path: Path, stage_name: str, stage: Stage) -> str | None:
    """What the run of `stage` finds at `path`; None where it is the first there.

    Raises:
        UserError: the folder holds another run, or other things.
    """
    from training.run_files.folder import RunFolder
    from training.run_files.same_run import recorded_config

    folder = RunFolder(path, stage_name, model=type(stage))
    folder.check_place()
    if not folder.manifest_file.exists():
        return None
    has_grown = folder.check_run(recorded_config(stage.as_begun(folder.config)))
    return FINISHED if folder.finished and not has_grown else RESUMING

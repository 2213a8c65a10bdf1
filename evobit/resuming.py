"""What a command finds in its run folder, said on stderr before or after the stage runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evobit.errors import say
from supernet.files import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel


def check_folder(path: Path) -> None:
    """Demand that a run folder can be at `path`: nothing there or on the way is a file.

    Raises:
        UserError: a file is.
    """
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"--run {path}: {place} is a file; expected a folder")


@contextmanager
def announced(path: Path, stage_name: str, stage: BaseModel) -> Iterator[None]:
    """Run a stage inside: says that it resumes, or afterwards that it had nothing to do.

    Of a folder that the stage will refuse nothing is said: the refusal is the only line.
    """
    from training.run_files.folder import RunFolder

    check_folder(path)
    finished = False
    folder = RunFolder(path, stage_name)
    if (path / "manifest.json").exists() and folder.manifest.get("stage") == stage_name:
        same, grown = _compare(folder.config, stage)
        finished = same and not grown and folder.finished
        if same and not finished:
            say(f"{path}: resuming")
    yield
    if finished:
        say(f"{path}: already finished; nothing to do")


def _compare(recorded: dict[str, Any], stage: BaseModel) -> tuple[bool, bool]:
    """Whether the run was made with this config, and whether the search's budget grew since."""
    from supernet.spaces import space_from_description

    now = stage.model_dump(mode="json")
    now["space"] = space_from_description(now["space"]).describe()
    recorded = dict(recorded)
    grown = False
    if isinstance(recorded.get("search"), dict):
        # A search records its budget as `evaluations`, in whichever way it was given.
        search = dict(recorded["search"])
        budget = search.pop("evaluations", None)
        search.pop("generations", None)
        recorded["search"] = search
        asked = stage.search.budget  # type: ignore[attr-defined]
        if budget is not None and asked < budget:
            return False, False
        grown = budget is not None and asked > budget
    return _holds(now, recorded), grown


def _holds(now: Any, recorded: Any) -> bool:
    """Whether all that `recorded` holds is the same in `now`, which may hold more."""
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        return all(name in now and _holds(now[name], value) for name, value in recorded.items())
    return bool(now == recorded)

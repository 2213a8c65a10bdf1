"""The networks that a retraining was made for: the files of its finalists."""

from __future__ import annotations

from pathlib import Path

from evaluate.retrain.config import STAGE
from supernet.files import UserError, as_written
from training.network_training import WEIGHTS
from training.run_files.folder import open_finished, stage_in


def finalists(run: Path) -> dict[str, Path]:
    """The network file of each finalist's first seed, by the finalist's name.

    Raises:
        UserError: not a finished retraining.
    """
    folder = open_finished(run, STAGE)
    summary = folder.summary or {}
    with as_written(folder.manifest_file):
        return {
            str(row["name"]): Path(run) / row["networks"][0] / WEIGHTS
            for row in summary["networks"]
            if row["kind"] == "finalist"
        }


def network_named(run: Path, name: str) -> Path:
    """The network file of the first seed of the network that a retraining calls `name`.

    Raises:
        UserError: not a finished retraining, or it has no such network.
    """
    folder = open_finished(run, STAGE)
    with as_written(folder.manifest_file):
        rows = (folder.summary or {})["networks"]
        for row in rows:
            if name in (row["name"], *(role["name"] for role in row["roles"])):
                return Path(run) / str(row["networks"][0]) / WEIGHTS
    raise UserError(f"{run}: no network '{name}' was retrained there")


def network_of(path: Path) -> Path:
    """`path` itself; where it is the run folder of a retraining, its first finalist's file.

    Raises:
        UserError: another folder, or a retraining that is unfinished or has no finalist.
    """
    if not path.is_dir():
        return path
    if stage_in(path) is None:
        raise UserError(
            f"{path}: is a folder, expected a file of a trained network or the run folder of a "
            f"retraining"
        )
    found = finalists(path)
    if not found:
        raise UserError(
            f"{path}: has no finalist, baselines alone were retrained; name one of "
            f"{path}/networks/*/{WEIGHTS}"
        )
    return next(iter(found.values()))

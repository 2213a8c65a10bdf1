"""A run folder: one stage's config, provenance, log and results; resumed by the same command."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from supernet.files import (
    UserError,
    check_header,
    open_to_append,
    read_json,
    remove_abandoned,
    sha256_file,
    write_json,
    write_text,
)
from supernet.files.plain_data import plain
from training.run_files.same_run import SAME_IMAGES, differences, marked

if TYPE_CHECKING:
    from training.stage import Stage

FORMAT = "evobit/run"
VERSION = 1
_KINDS: dict[str, tuple[type, ...]] = {
    "stage": (str,),
    "inputs": (dict,),
    "config": (dict,),
    "summary": (dict, type(None)),
    "command": (list, type(None)),
    "created": (str, type(None)),
    "data": (dict, type(None)),
    "git_commit": (str, type(None)),
    "reference_point": (dict, type(None)),
    "scored_images": (int, type(None)),
    "splits": (dict, type(None)),
    "threads": (int, type(None)),
    "versions": (dict, type(None)),
    "work_before": (dict, type(None)),
}
"""Of the manifest's fields that are read; what may be missing may be null."""

_COMMANDS = {
    "supernet": "train-supernet CONFIG",
    "finals": "finals CONFIG SEARCH_RUN",
    "retrain": "retrain CONFIG ARCH.json...",
    "table-search": "search CONFIG --table FILE",
}
"""What makes a run, where it is not `evobit STAGE CONFIG`."""

_PACKAGES = ("evobit", "torch", "torchvision", "numpy", "ray")


@dataclass(frozen=True)
class RunFolder:
    """`path` holds config.yaml, manifest.json, log.jsonl and what the stage makes.

    A run is finished when manifest.json has a summary; until then the same command resumes it.
    """

    path: Path
    stage: str
    opened_with: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """The config of `open`; None where the folder is only looked at."""
    model: type[Stage] | None = field(default=None, compare=False, repr=False)
    """Whose marks say what of the config may differ; without one it must be the same."""

    @classmethod
    def open(
        cls,
        path: str | Path,
        stage: str,
        config: Mapping[str, Any],
        inputs: Mapping[str, Path] | None = None,
        model: type[Stage] | None = None,
    ) -> RunFolder:
        """Create the run folder, or open it again to resume.

        `inputs` are the runs or files this one builds on, recorded with their hashes. `model`
        says by its marks what a resume may change; what has grown reopens a finished run. The
        folder's config stays the one that it was begun with, or has grown to.

        Raises:
            UserError: the folder holds another stage or config (the differences are shown), or is
                not a run folder and not empty.
        """
        folder = cls(Path(path), stage, config, model)
        hashes = {name: _describe_input(source) for name, source in (inputs or {}).items()}
        folder.check_place()
        folder.path.mkdir(parents=True, exist_ok=True)
        with folder._held():
            for place, _, _ in os.walk(folder.path):
                remove_abandoned(Path(place))
            if (folder.path / "manifest.json").exists():
                folder._check(config, hashes)
            else:
                folder._create(config, hashes)
        return folder

    def check_place(self) -> None:
        """Demand that a run is here, or can be made here.

        Raises:
            UserError: it is a file, or a folder of other things.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: is a file, expected a run folder")
        if not self.manifest_file.exists() and any(
            not found.name.startswith(".") for found in self.path.glob("*")
        ):
            raise UserError(f"{self.path}: is not empty and is not a run folder")

    def _create(self, config: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        # The manifest holds the config too and comes first: a kill between the two files leaves
        # a whole run, and a config.yaml without a manifest is never ours to overwrite.
        write_json(
            self.path / "manifest.json",
            {
                "format": FORMAT,
                "version": VERSION,
                "stage": self.stage,
                "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "command": sys.argv,
                "git_commit": _git_commit(),
                "python": platform.python_version(),
                "machine": f"{platform.machine()} {platform.system()}",
                "versions": {name: _version(name) for name in _PACKAGES},
                "inputs": dict(inputs),
                "config": plain(config),
            },
        )
        self._write_config()

    def _check(self, config: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        has_grown = self.check_run(config)
        for name, described in inputs.items():
            recorded = self.manifest["inputs"].get(name, {})
            if recorded.get("sha256") != described["sha256"]:
                raise UserError(
                    f"{self.path}: was made from another {name} "
                    f"({recorded.get('path')}) than {described['path']}"
                )
        if has_grown:
            # One write: a kill leaves the old finished run or the new unfinished one.
            manifest = {**self.manifest, "config": plain(config), "summary": None}
            write_json(self.path / "manifest.json", manifest)
        self._write_config()

    def check_run(self, config: Mapping[str, Any], *, may_grow: bool = True) -> bool:
        """Demand that the run here is of this stage and config; whether the config has grown.

        Raises:
            UserError: it is another run, with the first five differences.
        """
        if self.manifest.get("stage") != self.stage:
            raise UserError(
                f"{self.path}: holds a run of stage '{self.manifest.get('stage')}', "
                f"not '{self.stage}'"
            )
        changed = differences(self.config, config, self.model)
        refused = [one for one in changed if one.growth <= 0 or not may_grow]
        if refused:
            raise UserError(
                f"{self.path}: holds a run of another config "
                f"({'; '.join(map(str, refused[:5]))}); "
                f"choose another --run folder or restore the config"
            )
        return bool(changed)

    def _write_config(self) -> None:
        write_text(self.path / "config.yaml", yaml.safe_dump(self.config, sort_keys=False))

    @property
    def manifest_file(self) -> Path:
        """Where the manifest is."""
        return self.path / "manifest.json"

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands on disk."""
        path = self.manifest_file
        found = check_header(read_json(path, what="manifest"), path, format=FORMAT, version=VERSION)
        for name, kinds in _KINDS.items():
            if not isinstance(value := found.get(name), kinds):
                raise UserError(f"{path}: field '{name}' is {value!r}: damaged")
        for name, source in found["inputs"].items():
            if not isinstance(source, dict) or not {"path", "sha256"} <= set(source):
                raise UserError(f"{path}: field 'inputs.{name}' is {source!r}: damaged")
        return found

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config, as the manifest holds it."""
        return self.manifest["config"]

    @property
    def summary(self) -> dict[str, Any] | None:
        """The finished run's summary, else None."""
        return self.manifest.get("summary")

    @property
    def finished(self) -> bool:
        """Whether the stage ran to its end."""
        return self.summary is not None

    def record(self, key: str, value: Any) -> None:
        """Put a JSON value into the manifest."""
        write_json(self.path / "manifest.json", {**self.manifest, key: value})

    def record_once(self, key: str, value: Any) -> Any:
        """Put a value into the manifest at the first start; at a resume, the one put in then."""
        recorded = self.manifest.get(key)
        if recorded is None:
            self.record(key, value)
            return value
        return recorded

    def moved_images(self) -> dict[str, Any]:
        """Where the config of `open` says that images lie, where the run says it otherwise."""
        if self.opened_with is None or self.model is None:
            return {}
        was, now = (config.get("data", {}) for config in (self.config, plain(self.opened_with)))
        marks = marked(self.model, SAME_IMAGES)
        names = [name.removeprefix("data.") for name in marks if name.startswith("data.")]
        return {name: now.get(name) for name in names if now.get(name) != was.get(name)}

    def record_places(self, moved: Mapping[str, Any]) -> None:
        """Let the run say where its images lie now."""
        config = self.config
        self.record("config", {**config, "data": {**config.get("data", {}), **moved}})
        self._write_config()

    def log(self, event: str, **fields: Any) -> None:
        """Append one line with the time to log.jsonl."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **fields}) + "\n"
        with open_to_append(self.path / "log.jsonl") as file:
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line  # a killed process left half a line
            file.write(line.encode())

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Mark the run as finished, with what it found."""
        self.record("summary", dict(summary))
        self.log("finished", **summary)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder against a second driver; the system frees it if this process dies.

        Raises:
            UserError: another process holds it, or changed its config since it was opened.
        """
        with self._held():
            if self.opened_with is not None:
                self.check_run(self.opened_with, may_grow=False)
            yield

    @contextmanager
    def _held(self) -> Iterator[None]:
        with open_to_append(self.path / ".lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(f"{self.path}: another process is working in it") from error
            yield


def has_finished(run: Path, stage: str) -> bool:
    """Whether a run of this stage is here that has nothing left to do, whatever is asked for."""
    return stage_in(run) == stage and RunFolder(run, stage).summary is not None


def stage_in(path: str | Path) -> str | None:
    """The stage of the run in `path`; None where there is none."""
    folder = RunFolder(Path(path), "")
    return folder.manifest.get("stage") if (folder.path / "manifest.json").exists() else None


def run_around(file: Path) -> RunFolder | None:
    """The run in whose folder a file lies: RUN/networks/NAME/FILE, or RUN/FILE; None of none.

    Raises:
        UserError: its manifest is damaged.
    """
    for folder in file.resolve().parents[:3]:
        run = RunFolder(folder, "")
        try:
            found = read_json(run.manifest_file, what="manifest")
        except UserError:
            continue
        if isinstance(found, dict) and found.get("format") == FORMAT:
            run.manifest  # noqa: B018  a run's, which is read through from here on
            return run
    return None


def open_finished(path: str | Path, stage: str) -> RunFolder:
    """The finished run of `stage` in `path`.

    Raises:
        UserError: no run there, another stage's, or not finished.
    """
    folder = RunFolder(Path(path), stage)
    if not (folder.path / "manifest.json").exists():
        raise UserError(f"{path}: not a run folder (it has no manifest.json)")
    found = folder.manifest.get("stage")
    if found != stage:
        raise UserError(f"{path}: holds a run of stage '{found}', not '{stage}'")
    if not folder.finished:
        command = _COMMANDS.get(stage, f"{stage} CONFIG")
        raise UserError(
            f"{path}: its {stage} run is not finished; 'evobit {command} --run {path}' resumes it"
        )
    return folder


def read_config(path: str | Path) -> dict[str, Any]:
    """The resolved config of the run folder `path`."""
    file = Path(path) / "config.yaml"
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except Exception as error:  # PyYAML raises many kinds for a damaged file
        raise UserError(f"{file}: cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise UserError(f"{file}: not a mapping")
    return config


def _describe_input(source: Path) -> dict[str, Any]:
    """Path and hash of a file, or of a run folder's weights."""
    if source.is_file():
        return {"path": str(source), "sha256": sha256_file(source)}
    weights = sorted(source.glob("*.safetensors"))
    if not weights:
        raise UserError(f"{source}: no finished run there (no weights)")
    # Beside them may lie those after an earlier phase, and whatever else a user keeps there.
    named = [path for path in weights if path.name == _name_of_weights(source)]
    return {"path": str(source), "sha256": sha256_file((named or weights)[0])}


def _name_of_weights(source: Path) -> str | None:
    """What a finished run's summary calls its weights; None where it says nothing."""
    manifest = source / "manifest.json"
    if not manifest.exists():
        return None
    document = read_json(manifest, what="manifest")
    summary = document.get("summary") if isinstance(document, dict) else None
    return summary.get("weights") if isinstance(summary, dict) else None


def _git_commit() -> str | None:
    """The checkout's commit, with '+' where the work tree differs from it; None outside git."""
    checkout = Path(__file__).resolve().parents[2]
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--match="],
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

"""The runs that a run builds on: found through the manifests' inputs, checked by their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supernet.files import UserError, as_written, read_json, sha256_file
from supernet.history_file import read_without_space
from training.run_files.folder import RunFolder, stage_in


@dataclass
class Lineage:
    """`runs`: the run asked for and all that were found, the run first; `missing`: in words.

    `files`: the other inputs that were found, such as a latency table, by role. `architectures`:
    the documents of a retraining's files, with their `path`, and `as` what the manifest calls it.
    """

    runs: list[RunFolder] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    architectures: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def of(self, stage: str) -> RunFolder | None:
        """The first run of that stage."""
        return next((run for run in self.runs if run.stage == stage), None)


def trace(run: Path, search: Path | None = None) -> Lineage:
    """Follow the inputs of the run in `run`, and of what they lead to.

    A retraining names architecture files, not their search. That is looked for in the folder
    `search`, where it is given; else beside the files and the run, by the name in the files'
    provenance, and taken only if its history holds the architecture. So are the finals that
    chose an architecture, which lead to the search themselves.

    Raises:
        UserError: no run folder there; `search` is no search that found the architectures.
    """
    stage = stage_in(run)
    if stage is None:
        raise UserError(f"{run}: not a run folder (it has no manifest.json)")
    found = Lineage()
    _follow(RunFolder(run, stage), found)
    if stage == "retrain":
        _find_search(found, search)
    return found


def builds_on(run: Path) -> list[RunFolder]:
    """The run in `run`, and all runs below it that are there and have not changed."""
    found = Lineage()
    _follow(RunFolder(run, stage_in(run) or ""), found)
    return found.runs


def search_of(architecture: Mapping[str, Any], run: Path) -> Path | None:
    """The search that found an architecture, which a file (its `path`) of the retraining `run` is.

    None where it is neither beside the file nor beside the run.
    """
    places = _places(architecture, run)
    return next((place for place in places if _holds(place, architecture)), None)


def finals_of(architecture: Mapping[str, Any], run: Path) -> Path | None:
    """The finals that an architecture stood in, which a file (its `path`) of `run` is.

    None where it names none, or they are neither beside the file nor beside the run.
    """
    if "finals" not in (architecture.get("provenance") or {}):
        return None
    places = _places(architecture, run, "finals")
    return next((place for place in places if _entered(place, architecture)), None)


def _follow(run: RunFolder, found: Lineage) -> None:
    """Add a run and all its inputs."""
    if any(run.path.resolve() == known.path.resolve() for known in found.runs):
        return
    found.runs.append(run)
    is_first = len(found.runs) == 1
    for role, described in run.manifest.get("inputs", {}).items():
        path = locate(described["path"], run.path)
        if path is None:
            found.missing.append(f"{role} of the {run.stage} run: {described['path']} is not there")
        elif _hash(path) != described["sha256"]:
            found.missing.append(
                f"{role} of the {run.stage} run: {described['path']} has changed since, left out"
            )
        elif path.is_dir():
            _follow(RunFolder(path, stage_in(path) or ""), found)
        elif (
            role == "history" and stage_in(path.parent) == "search"
        ):  # finals name the history, which is its results
            _follow(RunFolder(path.parent, "search"), found)
        elif role.startswith("architecture") and is_first:
            document = read_json(path, what="architecture file")
            found.architectures.append({**document, "path": str(path), "as": described["path"]})
        else:
            found.files.setdefault(role, path)


def locate(recorded: str, run: Path) -> Path | None:
    """A recorded path, below a folder above the run or, as it is, here; None if nowhere.

    It is relative to the folder that the run was started in, which most likely is above the run.
    """
    path = Path(recorded)
    places = [*(above / path for above in run.resolve().parents), path]
    return next((place for place in places if place.exists()), None)


def _hash(path: Path) -> str | None:
    """As a manifest records it: of the file, or of the weights of a run folder."""
    if path.is_file():
        return sha256_file(path)
    if stage_in(path) is None:
        return None
    weights = path / str((RunFolder(path, "").summary or {}).get("weights", ""))
    files = [weights] if weights.is_file() else sorted(path.glob("*.safetensors"))
    return sha256_file(files[0]) if files else None


def config_of(run: RunFolder) -> dict[str, Any]:
    """The resolved config; empty of a run so old that its manifest holds none."""
    return run.manifest.get("config") or {}


def _find_search(found: Lineage, given: Path | None) -> None:
    if given is not None:
        if not any(_holds(given, one) for one in found.architectures):
            raise UserError(f"--search {given}: no search whose history holds a finalist")
        _follow(RunFolder(given, "search"), found)
        return
    run = found.runs[0].path
    for architecture in found.architectures:
        chosen = finals_of(architecture, run)
        if chosen is not None:
            _follow(RunFolder(chosen, "finals"), found)
            if found.of("search") is not None:
                continue
        place = search_of(architecture, run)
        if place is not None:
            _follow(RunFolder(place, "search"), found)
        else:
            found.missing.append(
                f"the search of {architecture['path']}: not beside it; name it with --search DIR"
            )


def _places(architecture: Mapping[str, Any], run: Path, named: str = "run") -> Iterator[Path]:
    """Where its search may be: the file's folder, and by its name beside the file and the run.

    `named`: the provenance's field with the name, of another run than its search.
    """
    beside = Path(architecture["path"]).resolve().parent
    yield beside
    name = (architecture.get("provenance") or {}).get(named)
    if isinstance(name, str) and Path(name).name == name:
        yield from (folder / name for folder in (beside, beside.parent, run.resolve().parent))


def _holds(place: Path, architecture: Mapping[str, Any]) -> bool:
    """Whether the search in `place` has scored this architecture, on the supernet it names."""
    if stage_in(place) != "search":
        return False
    provenance = architecture.get("provenance") or {}
    supernet = (
        RunFolder(place, "search").manifest.get("inputs", {}).get("supernet", {}).get("sha256")
    )
    if provenance.get("supernet_sha256", supernet) != supernet:
        return False
    choices = dict(architecture["choices"])
    candidates = read_without_space(place / "history.jsonl")
    return any(dict(one.architecture.choices) == choices for one in candidates)


def _entered(place: Path, architecture: Mapping[str, Any]) -> bool:
    """Whether the finals in `place` are finished, and this architecture was among them."""
    if stage_in(place) != "finals":
        return False
    folder, choices = RunFolder(place, "finals"), dict(architecture["choices"])
    with as_written(folder.manifest_file):
        rungs = (folder.summary or {}).get("rungs") or [{"entrants": []}]
        return any(one["choices"] == choices for one in rungs[0]["entrants"])

"""Export: the best architectures of a search run as architecture files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from search.limits.latency import rejected
from supernet.architecture_file import save_architecture
from supernet.candidate import Candidate, best
from supernet.costs.limits import describe_limits, limits_from, within
from supernet.files import UserError, as_written, read_json
from supernet.history_file import read_history
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.run_files.folder import RunFolder


def export_best(run: Path, output: Path, limits: Sequence[Mapping[str, float]] = ()) -> list[Path]:
    """Write the best architecture of a search's history; returns the files written.

    Candidates that broke a limit on latency when they were measured do not count.

    With one set of limits (`{"max_ops": 3.2e6}`), the best that keeps them. With several, the
    best at each, in files numbered in their order: best-1.json, best-2.json, ... An unfinished
    run gives the best so far. All are found before the first is written.

    Raises:
        UserError: not a search run, a damaged history, or no scored candidate keeps the limits.
    """
    from search.results.outcome import provenance_of

    folder, space, candidates = open_search(run)
    asked = [dict(one) for one in limits] or [{}]
    winners = [standing_best(folder, candidates, one, 1)[0] for one in asked]
    files = numbered(Path(output), len(asked))
    for file, winner, one in zip(files, winners, asked, strict=True):
        provenance = provenance_of(winner, folder)
        if one:
            # Retraining draws its baselines under these: all that the winner was chosen to keep.
            provenance["limits"] = {**provenance["limits"], **one}
        save_architecture(file, space, winner.architecture, provenance=provenance)
    return files


def numbered(output: Path, count: int) -> list[Path]:
    """The file itself, or of several best-1.json, best-2.json, ..."""
    if count == 1:
        return [output]
    return [output.with_name(f"{output.stem}-{n}{output.suffix}") for n in range(1, count + 1)]


def standing_best(
    folder: RunFolder, candidates: Sequence[Candidate], limits: Mapping[str, float], count: int
) -> list[Candidate]:
    """The `count` best that keep `limits`, but for those that broke one when they were measured.

    Raises:
        UserError: fewer keep them; names the nearest extremes if none does.
    """
    return _best_under(standing_candidates(folder, candidates), limits, folder.path, count)


def standing_candidates(folder: RunFolder, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that broke no limit when they were measured; all where every one did."""
    from search.results.outcome import MEASURED_FILE

    measured = folder.path / MEASURED_FILE
    with as_written(measured):
        broken = rejected(read_json(measured)) if measured.exists() else set()
    return [one for one in candidates if one.index not in broken] or list(candidates)


def open_search(run: Path) -> tuple[RunFolder, SearchSpace, list[Candidate]]:
    """The run folder of a search, finished or not, its space and its history.

    Raises:
        UserError: not a search run, a damaged history, or no candidate in it is scored yet.
    """
    from search.config import STAGE

    folder = RunFolder(Path(run), STAGE)
    if not (folder.path / "manifest.json").exists() or folder.manifest.get("stage") != STAGE:
        raise UserError(f"{run}: not the run folder of a search")
    with as_written(folder.manifest_file):
        space = space_from_description(folder.config["space"], trusted=False)
    candidates = read_history(folder.path / "history.jsonl", space)
    if all(candidate.top1 is None for candidate in candidates):
        raise UserError(f"{run}: its history holds no scored candidate yet")
    return folder, space, candidates


def _best_under(
    candidates: Sequence[Candidate], limits: Mapping[str, float], run: Path, count: int
) -> list[Candidate]:
    constraints = limits_from(limits)
    scored = [candidate for candidate in candidates if candidate.top1 is not None]
    for limit in constraints:  # a cost may be newer than the history, or need a table
        if any(limit.name not in candidate.costs for candidate in scored):
            raise UserError(f"{run}: has no {limit.name} of its candidates; limit another cost")
    if kept := [c for c in scored if within(constraints, c.costs)]:
        if len(kept) < count:
            raise UserError(f"{run}: {count} networks are asked for, {len(kept)} are scored")
        return best(kept, count)
    ranges = "; ".join(
        f"{c.name} of the scored ones lie from {min(values):,.10g} to {max(values):,.10g} {c.unit}"
        for c in constraints
        for values in [[c.measure(candidate.costs) for candidate in scored]]
    )
    raise UserError(f"{run}: no scored candidate keeps {describe_limits(limits)}; {ranges}")

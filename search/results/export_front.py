"""Export of a search's Pareto front: architecture files, front.json and front.svg in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.objectives import Objectives, loss_of_guessing
from search.results.export import open_search
from search.searchers.base import OBJECTIVES
from supernet.architecture_file import save_architecture
from supernet.candidate import Candidate
from supernet.charts.scatter import Dot, Series, chart_svg
from supernet.costs.table import unit_of
from supernet.files import UserError, as_written, read_json, write_json, write_text
from training.run_files.folder import RunFolder

FORMAT = "evobit/front"
VERSION = 1

LOSSES = ("loss", "loss_error")
BEST = {
    "top1": {"top1": {"goal": "maximise", "unit": "percent"}},
    "loss": {"loss": {"goal": "minimise", "unit": "nats"}},
}
AXES = {
    "top1": "top-1 on the search split (percent)",
    "loss": "cross-entropy on the search split (nats)",
}


def export_front(run: Path, output: Path, costs: Sequence[str] = ()) -> list[Path]:
    """Write the front of a search's history into the folder `output`; returns the files written.

    `architecture-1.json`, ... by the first cost in ascending order, `front.svg` and `front.json`
    (docs/formats.md). `costs` are minimised beside what the search ranks by, top-1 or
    cross-entropy; by default those of the search, OPs where it looked at no cost. Any search will
    do, finished or not. An earlier front in the folder is replaced.

    Raises:
        UserError: not a search run, a damaged history, no scored candidate, an unknown cost.
    """
    from search.results.outcome import provenance_of

    folder, space, candidates = open_search(run)
    with as_written(folder.manifest_file):
        has_loss = any(one.loss is not None for one in candidates)
        objectives = _objectives(folder, costs, loss_of_guessing(space) if has_loss else None)
        front, volume = objectives.front(candidates), objectives.hypervolume(candidates)
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise UserError(f"{output}: is a file, expected a folder for the front")
    digits = len(str(len(front)))
    files = [output / f"architecture-{n:0{digits}}.json" for n in range(1, len(front) + 1)]
    for file, candidate in zip(files, front, strict=True):
        provenance = provenance_of(candidate, folder)
        save_architecture(file, space, candidate.architecture, provenance=provenance)
    points = [
        {
            "file": file.name,
            "index": one.index,
            "top1": one.top1,
            **{name: loss for name in LOSSES if (loss := getattr(one, name)) is not None},
            "costs": dict(one.costs),
        }
        for file, one in zip(files, front, strict=True)
    ]
    plot, document = output / "front.svg", output / "front.json"
    # Files of an earlier front are known by its front.json, which is replaced before they go.
    stale = set(output.glob("architecture-*.json")) - set(files) if document.exists() else set()
    write_text(plot, _plot(candidates, points, objectives))
    write_json(
        document,
        {
            "format": FORMAT,
            "version": VERSION,
            "run": folder.path.resolve().name,
            "evaluations": len(candidates),
            "split": "search",
            "objectives": {
                **BEST[_score(objectives)],
                **{
                    name: {"goal": "minimise", "unit": unit_of(name)}
                    for name in objectives.reference
                },
            },
            "reference": objectives.reference_point,
            "hypervolume": volume,
            "points": points,
        },
    )
    for file in stale:
        file.unlink()
    return [*files, document, plot]


def _score(objectives: Objectives) -> str:
    """The field of a candidate that is an objective beside costs."""
    return "top1" if objectives.worst_loss is None else "loss"


def _objectives(folder: RunFolder, costs: Sequence[str], worst_loss: float | None) -> Objectives:
    """The search's own objectives, or `costs` with the reference point of its space and limits."""
    recorded = folder.manifest.get("reference_point")
    if recorded is not None and not costs:
        return Objectives.at(recorded)
    path = folder.path / "feasibility.json"
    with as_written(path):
        report = read_json(path, what="feasibility report")
        return Objectives.within(costs or OBJECTIVES, report, worst_loss)


def _plot(
    candidates: Sequence[Candidate], points: Sequence[Mapping[str, Any]], objectives: Objectives
) -> str:
    """The SVG of all scored candidates and the front's `points` over the first cost."""
    cost, score = next(iter(objectives.reference)), _score(objectives)
    unit = unit_of(cost)  # Without one, the name of a measured cost ends in it (latency_ms).
    scored = [
        Dot(one.costs[cost], value)
        for one in candidates
        if (value := getattr(one, score)) is not None
    ]
    lined = [
        Dot(value, found, f"{point['file']}: {cost} {value}, {score} {found}")
        for point in points
        for value, found in [(point["costs"][cost], point[score])]
    ]
    return chart_svg(
        [
            Series("candidates", scored, faint=True),
            Series("front", lined, line=True),
        ],
        f"{cost} ({unit})" if unit else cost,
        AXES[score],
    )

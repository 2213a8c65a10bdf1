"""How a search ends: who won, measured where that is possible, and where it comes from."""

from __future__ import annotations

from typing import Any

from search.config import SearchConfig
from search.limits.latency import confirm, rejected
from search.problem import Problem
from supernet.architecture_file import save_architecture
from supernet.candidate import Candidate, best
from supernet.files import as_written, write_json
from training.run_files.folder import RunFolder

MEASURED_FILE = "measured.json"


def finish(
    problem: Problem, candidates: list[Candidate], folder: RunFolder, *, is_exhausted: bool
) -> dict[str, Any]:
    """Write best.json and the summary; with a latency table, measure who is to win first."""
    space, latency, objectives = problem.space, problem.latency, problem.objectives
    ranked = best(candidates, len(candidates))
    front = objectives.front(candidates) if objectives is not None else []
    measured: list[dict[str, Any]] = []
    if latency is not None and latency.is_this_device:
        constraints = problem.feasibility.constraints
        measured = confirm(front or ranked, space, latency, constraints, all_of_them=bool(front))
        write_json(folder.path / MEASURED_FILE, measured)
    broken = rejected(measured)
    # Where all that were measured break the limit, the best prediction stands, marked as such.
    winner = next((one for one in ranked if one.index not in broken), ranked[0])
    provenance = provenance_of(winner, folder)
    save_architecture(folder.path / "best.json", space, winner.architecture, provenance=provenance)
    summary: dict[str, Any] = {
        "evaluations": len(candidates),
        "failed": sum(candidate.top1 is None for candidate in candidates),
        "is_exhausted": is_exhausted,
        "best": str(winner.architecture),
        "search_top1": winner.top1,
        **winner.costs,
        "file": "best.json",
    }
    if measured:
        summary["measured"] = measured
    if objectives is not None:
        summary["hypervolume"] = objectives.hypervolume(candidates)
        summary["front"] = [candidate.index for candidate in front]
    folder.finish(summary)
    return summary


def provenance_of(candidate: Candidate, folder: RunFolder) -> dict[str, Any]:
    """Where an exported architecture comes from; `top1` is percent on the search split."""
    with as_written(folder.manifest_file):
        manifest = folder.manifest
        return {
            "run": folder.path.resolve().name,
            "seed": manifest["config"]["seed"],
            "supernet_sha256": manifest["inputs"]["supernet"]["sha256"],
            "limits": SearchConfig.model_validate(manifest["config"]["search"]).limits(),
            # Retraining refuses other splits: what was searched on must not become test images.
            **({"splits": splits} if (splits := manifest.get("splits")) else {}),
            "index": candidate.index,
            "top1": candidate.top1,
            "split": "search",
        }

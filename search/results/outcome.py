"""How a search ends: who won, measured where that is possible, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import hypot
from typing import Any

from search.config import SearchConfig
from search.limits.latency import confirm, rejected
from search.problem import Problem
from supernet.architecture_file import save_architecture
from supernet.candidate import Candidate, best
from supernet.files import as_written, write_json
from training.run_files.folder import RunFolder
from training.scoring.answers import top1_error

MEASURED_FILE = "measured.json"


def finish(
    problem: Problem,
    candidates: list[Candidate],
    folder: RunFolder,
    *,
    is_exhausted: bool,
    images: int | None = None,
) -> dict[str, Any]:
    """Write best.json and the summary; with a latency table, measure who is to win first.

    `images`: of the search split, those that were scored on; None where no one knows.
    """
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
        **_noise(winner, ranked, images),
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


def _noise(winner: Candidate, ranked: Sequence[Candidate], images: int | None) -> Mapping[str, Any]:
    """What the images leave open: the winner's standard error, and who is within noise of it.

    Within noise: at most 1.96 standard errors of a difference worse, errors taken as independent.
    As all are scored on the same images, differences are less noisy than that.
    """
    error = fitness_error(winner, images)
    if error is None or winner.fitness is None:
        return {}
    near = 0
    for one in ranked:
        own = fitness_error(one, images)
        if one.fitness is not None and own is not None:
            near += winner.fitness - one.fitness <= 1.96 * hypot(error, own)
    of = {} if winner.loss is None else {"search_loss": winner.loss}
    return {**of, "search_error": error, "within_noise": near}


def fitness_error(candidate: Candidate, images: int | None) -> float | None:
    """Standard error of a candidate's fitness over images; None where nobody knows their number."""
    if candidate.loss is not None:
        return candidate.loss_error
    if candidate.counted_top1 is None or images is None:
        return None
    return top1_error(candidate.counted_top1, images)


def provenance_of(candidate: Candidate, folder: RunFolder) -> dict[str, Any]:
    """Where an exported architecture comes from; `top1` is percent on the search split.

    `top1_error`: its standard error over images, in points. Where the search ranks by
    cross-entropy, `loss` and `loss_error` are that in nats.
    """
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
            **_errors(candidate, manifest.get("scored_images")),
            "split": "search",
        }


def _errors(candidate: Candidate, images: int | None) -> Mapping[str, float]:
    """What is known beside its top-1: standard errors over images, and the loss, in nats."""
    found = {"loss": candidate.loss, "loss_error": candidate.loss_error}
    if candidate.counted_top1 is not None and images is not None:
        found = {"top1_error": top1_error(candidate.counted_top1, images), **found}
    return {name: value for name, value in found.items() if value is not None}

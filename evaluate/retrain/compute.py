"""What the rows of a retraining's table cost: a network's own training, and what went before it.

A network that is trained on needs its supernet; one that was found needs its search, the finals
that chose it, and all that these were built on. A design that nobody searched for costs its own
training alone, also where finals chose it among others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from evaluate.lineage import builds_on, finals_of, search_of
from evaluate.retrain.starts import TRAINED_ON
from evaluate.work import Work, work_of_run, work_of_training
from training.run_files.folder import RunFolder

Facts = dict[str, Any]

SEARCH = "search"
"""The stage of a search, which `evaluate` knows by its files alone."""


def work_before(
    run: Path,
    supernet: Path,
    found: Mapping[str, Sequence[Mapping[str, Any]]],
    num_search_images: int,
) -> Facts:
    """What went before the trainings of the retraining in `run`, for its manifest.

    `found`: by an architecture's id the documents that it comes from, each with its `path`. Of one
    whose search is not there, or whose finals are not, `found` is None.
    """

    def works(folder: Path) -> Facts:
        return {
            str(one.path.resolve()): {
                "stage": one.stage,
                "run": str(one.path),
                **asdict(work_of_run(one, num_search_images)),
            }
            for one in builds_on(folder)
        }

    def of_architecture(documents: Sequence[Mapping[str, Any]]) -> Facts | None:
        all_works: Facts = {}
        for document in documents:
            provenance = document.get("provenance") or {}
            if not provenance.get("run"):
                continue  # written by hand
            chosen = finals_of if "finals" in provenance else search_of
            place = chosen(document, run)
            own = works(place) if place is not None else {}
            if SEARCH not in {one["stage"] for one in own.values()}:
                return None
            all_works |= own
        return all_works

    return {
        "supernet": works(supernet),
        "found": {identity: of_architecture(documents) for identity, documents in found.items()},
    }


def compute_of(row: Mapping[str, Any], folder: RunFolder) -> Facts:
    """The columns of one row: its start and epochs, its own work, and that with all before it.

    `own_*` are means over the seeds. Nothing of a run whose networks all begin alike.
    """
    if "start" not in row:
        return {}
    before, config = folder.manifest["work_before"], folder.config
    own_each = [
        work_of_training(folder.path / network, config["retrain"]["batch_size"])
        for network in row["networks"]
    ]
    own = Work(
        _mean([one.core_minutes for one in own_each]),
        own_each[0].image_passes,  # seeds differ in what they see, not in how much
    )
    needed: Facts = dict(before["supernet"]) if row["start"] == TRAINED_ON else {}
    searched = before["found"].get(row["id"], {})
    # A search is one of the supernet's, wherever that lies now.
    needed |= before["supernet"] if searched else {}
    is_known = searched is not None
    needed |= searched or {}
    shared = Work.of_all(Work(w["core_minutes"], w["image_passes"]) for w in needed.values())
    whole = Work.of_all([own, shared]) if is_known else Work(None, None)
    return {
        "start": row["start"],
        "epochs": row["epochs"],
        "own_core_minutes": own.core_minutes,
        "core_minutes": whole.core_minutes,
        "own_image_passes": own.image_passes,
        "image_passes": whole.image_passes,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None

"""Export: the best networks of a search with the supernet's weights, which need no training to run.

Where the search scored after a few steps of a candidate's own training, so is the network trained.

BatchNorm statistics are recomputed on the very images that the search scored with, so that the file
is the network that the history's score is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from search.coverage.coverage import supernet_of
from search.results.export import numbered, open_search, standing_best
from search.scoring.config import SearchScoringConfig
from search.scoring.scorer import judge_of
from supernet.files import UserError, as_written, check_output
from training.data import DataConfig, TrainingData
from training.data.training_data import open_for
from training.network_file import Inherited, TrainedNetwork, save_network
from training.run_files.folder import RunFolder
from training.scoring.scorer import scoring_arrays
from training.supernet_file import load_supernet


@dataclass(frozen=True)
class InheritedFile:
    """One network written: its file, and of the history its candidate and top-1 there.

    `search_loss`: its cross-entropy there in nats, where the search ranks by it.
    """

    path: Path
    candidate: int
    search_top1: float
    search_loss: float | None = None


def export_inherited(
    run: Path,
    output: Path,
    count: int = 1,
    limits: Mapping[str, float] | None = None,
    supernet: Path | None = None,
) -> list[InheritedFile]:
    """Write the `count` best of a search as stand-alone networks with inherited weights.

    Several are numbered in order: network-1.safetensors, network-2.safetensors, ... `supernet`:
    the run folder where it lies now, if not where the search recorded it.

    Raises:
        UserError: not a search run, its supernet or its images are not there or have changed, or
            fewer scored candidates keep the limits.
    """
    folder, space, candidates = open_search(run)
    winners = standing_best(folder, candidates, limits or {}, count)
    with as_written(folder.manifest_file):
        scoring = SearchScoringConfig(**folder.config["search"]["scoring"])
        recorded, seed = DataConfig.of_file(folder.config["data"]), folder.config["seed"]
        digest = str(folder.manifest["inputs"]["supernet"]["sha256"])
    place = supernet_of(run, supernet)
    files = numbered(Path(output), len(winners))
    for file in files:
        check_output(file)
    data = open_for(space, recorded)
    _check_images(folder, data)
    scoring = scoring.model_copy(update={"device": "cpu", "engine": "torch"})
    arrays = scoring_arrays(place, recorded, scoring, seed)
    judge = judge_of(space.describe(), arrays, scoring)
    binarization = load_supernet(place).binarization
    made = []
    for file, winner in zip(files, winners, strict=True):
        assert winner.top1 is not None, winner
        network = judge.calibrated(winner.architecture)
        steps = 0 if scoring.adapt is None else scoring.adapt.steps
        inherited = Inherited(place.name, digest, run.name, winner.index, winner.top1, steps)
        trained = TrainedNetwork(
            network,
            space,
            winner.architecture,
            data.seen_by(network.spec),
            data.class_names,
            data.config,
            binarization,
            data.facts,
            inherited,
            view=data.view,
        )
        save_network(file, trained)
        made.append(InheritedFile(file, winner.index, winner.top1, winner.loss))
    return made


def _check_images(folder: RunFolder, data: TrainingData) -> None:
    """Demand the images that the search scored on, by the hashes that it recorded.

    Raises:
        UserError: they have changed.
    """
    known, now = folder.manifest.get("splits") or {}, data.manifest()["splits"]
    if changed := [name for name in known if known[name] != now.get(name, {}).get("sha256")]:
        raise UserError(
            f"{folder.path}: its images have changed since (the {' and the '.join(changed)} "
            f"split); statistics and scores would be of others: restore them"
        )

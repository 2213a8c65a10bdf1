"""Stage 3: train finalists and baselines from scratch, and score each once on the test split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluate.retrain.baselines import costs_with_latency
from evaluate.retrain.comparison import Comparison, compare
from evaluate.retrain.config import STAGE, RetrainStage
from evaluate.retrain.jobs import run_jobs
from evaluate.retrain.trainings import NetworkTrainings, threads_of
from supernet.architecture import Architecture
from supernet.architecture_file import load_architecture
from supernet.costs.limits import limits_from
from supernet.files import UserError
from supernet.files.telling import tell, tell_once
from supernet.network import build
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.compilation import decide, decided_once
from training.data import TrainingData
from training.data.test_part import open_test_part
from training.data.training_data import check_fit, open_for
from training.device import choose_device
from training.loop.batches import steps_per_epoch
from training.loop.phases import check_phases, inputs_of
from training.processes.distributed import check_sharing, locked, on_first, processes
from training.processes.ray_session import check_workers
from training.run_files.folder import RunFolder, has_finished
from training.run_files.same_run import recorded_config
from training.same_pictures import same_pictures
from training.split_facts import check_images, record_data


@dataclass(frozen=True)
class Prepared:
    """A retraining whose input is checked: everything that can be refused has been read."""

    space: SearchSpace
    data: TrainingData
    manifest: dict[str, Any]
    device: torch.device
    steps_per_epoch: int
    comparison: Comparison

    def trainings(self, stage: RetrainStage) -> NetworkTrainings:
        """Those of all entries, on train and search split together."""
        entries = [entry.architecture for entry in self.comparison.entries]
        return NetworkTrainings(
            STAGE,
            self.space,
            entries,
            self.data.config,
            stage.retrain,
            stage.seed,
            "everything",
            self.data.facts.without_files(),
        )


def retrain(stage: RetrainStage, architectures: Sequence[Path], run: Path) -> dict[str, Any]:
    """Train every architecture file and the baselines into the run folder `run`.

    Without files, the baselines alone; where the space has one architecture, that one.

    Writes networks/<id>-seed<k>/network.safetensors and results.json; a network that is already
    trained or scored there is not trained or scored again. Returns the summary.

    Raises:
        UserError: files of another space or another split, unknown limits, a data set that does
            not fit, another run's folder.
    """
    # All checks come before the folder is made: a corrected command is then no "other config".
    if not has_finished(run, STAGE):
        check_machine(stage)
    prepared = prepare(stage, architectures)
    inputs = {f"architecture {n}": Path(path) for n, path in enumerate(architectures, start=1)}
    inputs |= inputs_of(stage.retrain)
    with processes(stage.retrain.device) as own:
        if own.size > 1 and stage.retrain.workers:
            raise UserError(
                f"retrain.workers is {stage.retrain.workers}: with {own.size} processes that train "
                f"one network together, expected 0"
            )
        check_sharing(stage.retrain.batch_size, stage.retrain.compile, stage.retrain.shared_norms)
        folder = on_first(
            lambda: RunFolder.open(run, STAGE, recorded_config(stage), inputs, RetrainStage)
        )
        with locked(folder):
            data = prepared.data
            on_first(lambda: check_images(folder, lambda: prepared.manifest, lambda: data.facts))
            if (summary := on_first(lambda: folder.summary)) is not None:
                return summary
            for warning in prepared.comparison.warnings(prepared.space):
                if own.rank == 0:
                    tell(warning)
            return _retrain(stage, prepared, folder)


def check_machine(stage: RetrainStage) -> None:
    """Demand workers that this machine has cores for.

    Raises:
        UserError: there are more.
    """
    check_workers(stage.retrain.workers, threads_of(stage.retrain), STAGE)


def prepare(stage: RetrainStage, architectures: Sequence[Path]) -> Prepared:
    """Read and check everything that a retraining needs, without writing anything.

    Raises:
        UserError: what is wrong with the files, the limits, the data, the batch or the device.
    """
    space = space_from_description(stage.space)
    config = stage.retrain
    limits = config.limits
    to_keep = list(limits_from(limits or {}, "retrain.limits"))
    finalists: list[tuple[Architecture, Mapping[str, float]]] = []
    recorded: list[tuple[Path, Mapping[str, Any]]] = []
    for path in architectures:
        _, architecture, document = load_architecture(path, expected_space=space)
        provenance = document.get("provenance") or {}
        if not isinstance(provenance, Mapping):
            raise UserError(f"{path}: field 'provenance' is not an object")
        found_under: Mapping[str, float] = {}
        if limits is None:
            where = f"{path}: provenance.limits (retrain.limits replaces them)"
            found_under = provenance.get("limits") or {}
            to_keep += limits_from(found_under, where)
        finalists.append((architecture, found_under))
        recorded.append((path, provenance))
    if not architectures and space.size == 1:
        finalists.append((space.first(), {}))
    device = choose_device(config.device)
    # Refuses 'on' without a compiler; the decision itself is taken, once a run, in its folder.
    decide(config.compile, device, graphs=0, planned_steps=0, eager_step_seconds=lambda: 0.0)
    costs_of = costs_with_latency(config.latency_table, space, to_keep)
    comparison = compare(
        space,
        finalists,
        uniform=config.uniform,
        random=config.random,
        seed=stage.seed,
        limits=limits,
        costs_of=costs_of,
    )
    data = open_for(space, stage.data)
    check_fit(space.decode(space.first()), data)
    first = space.decode(space.first())

    def modules() -> Iterator[nn.Module]:
        with torch.device("meta"):
            yield from (build(space.decode(e.architecture)) for e in comparison.entries)

    seen = data.seen_by(first)
    check_phases(config, seen, first, modules, data.everything, space)
    per_epoch = steps_per_epoch(data.everything, config)
    manifest = data.manifest()
    for path, provenance in recorded:
        _check_splits(path, provenance.get("splits"), manifest["splits"])
    return Prepared(space, data, manifest, device, per_epoch, comparison)


def _check_splits(path: Path, found: Any, now: Mapping[str, Any]) -> None:
    """Refuse an architecture searched on other images: some may be test images of this data.

    Raises:
        UserError: a recorded split has another hash than the data configured now.
    """
    if not found:
        return  # written by hand, or by a search that recorded none
    if not isinstance(found, Mapping):
        raise UserError(f"{path}: field 'provenance.splits' is not an object")
    changed = [name for name in ("train", "search") if found.get(name) != now[name]["sha256"]]
    if changed:
        raise UserError(
            f"{path}: was found on other images than `data` gives now (the "
            f"{' and the '.join(changed)} split differs), which may be test images now; "
            f"restore the `data` section of its search"
        )


def _say_same(data: TrainingData) -> None:
    """Say how many test images are trained on, before weeks are spent; only pixels are compared."""
    test = open_test_part(data.config)
    found = same_pictures(test, data.everything, ("the test split", "the training images"))
    if found is not None and found.pairs:
        tell_once(f"{data.config.name}: {found}: scores are too good by them")


def _by_class(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Balanced top-1 of each seed, and its counts of each class; nothing where one is older."""
    if any("classes" not in score for score in scores):
        return {}
    return {
        "test_balanced_top1": [score["balanced_top1"] for score in scores],
        "test_classes": [score["classes"] for score in scores],
    }


def _by_image(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which images each seed found (`evaluate.over_images`); nothing where one is older."""
    if any("right" not in score for score in scores):
        return {}
    return {"test_right": [score["right"] for score in scores]}


def _retrain(stage: RetrainStage, prepared: Prepared, folder: RunFolder) -> dict[str, Any]:
    space, entries = prepared.space, prepared.comparison.entries
    is_new = on_first(lambda: record_data(folder, prepared.manifest, prepared.data.facts))
    if is_new:
        on_first(lambda: _say_same(prepared.data))
    trainings = prepared.trainings(stage)
    compiled = decided_once(
        folder, lambda: trainings.compile_decision(prepared.steps_per_epoch, prepared.device)
    )
    jobs = [
        (entry, trainings.job(entry.architecture, k, folder.path, compiled=compiled))
        for k in range(stage.retrain.seeds)
        for entry in entries
    ]
    scores = run_jobs([job for _, job in jobs], stage.retrain.workers, folder)
    rows = []
    for entry in entries:
        rows.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "roles": [asdict(role) for role in entry.roles],
                "choices": dict(entry.architecture.choices),
                "costs": dict(prepared.comparison.costs_of(space.decode(entry.architecture))),
                "test_top1": [scores[job.name]["top1"] for e, job in jobs if e is entry],
                "test_top5": [scores[job.name]["top5"] for e, job in jobs if e is entry],
                **_by_class([scores[job.name] for e, job in jobs if e is entry]),
                **_by_image([scores[job.name] for e, job in jobs if e is entry]),
                "networks": [
                    str(job.folder.relative_to(folder.path)) for e, job in jobs if e is entry
                ],
            }
        )
    summary = {
        "limit_sets": [one.as_dict() for one in prepared.comparison.limit_sets],
        "epochs": stage.retrain.total_epochs,
        "networks": rows,
    }
    on_first(lambda: folder.finish(summary))
    return summary

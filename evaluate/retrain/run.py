"""Stage 3: train finalists and baselines, and score each once on the test split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluate.retrain.baselines import costs_with_latency
from evaluate.retrain.comparison import Comparison, Entry, compare
from evaluate.retrain.compute import work_before
from evaluate.retrain.config import STAGE, RetrainStage
from evaluate.retrain.jobs import run_jobs
from evaluate.retrain.starts import Start, starts_of
from evaluate.retrain.trainings import NetworkTrainings, threads_of
from supernet.architecture import Architecture
from supernet.architecture_file import load_architecture
from supernet.costs.limits import limits_from
from supernet.files import UserError, naming
from supernet.files.names import check_names
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
from training.supernet_file import STAGE as SUPERNET_STAGE
from training.supernet_file import check_data


@dataclass(frozen=True)
class Prepared:
    """A retraining whose input is checked: everything that can be refused has been read."""

    space: SearchSpace
    data: TrainingData
    manifest: dict[str, Any]
    device: torch.device
    steps_per_epoch: int
    comparison: Comparison
    starts: tuple[Start, ...]
    documents: tuple[tuple[Architecture, Mapping[str, Any]], ...]
    """What the files of finalists and given networks say, each with its `path`."""

    def trainings(self, stage: RetrainStage) -> list[NetworkTrainings]:
        """Those of each start, on train and search split together."""
        return [
            NetworkTrainings(
                STAGE,
                self.space,
                [entry.architecture for entry in start.entries],
                self.data.config,
                start.settings,
                stage.seed,
                "everything",
                self.data.facts.without_files(),
                start.mark,
            )
            for start in self.starts
        ]


def retrain(
    stage: RetrainStage,
    architectures: Sequence[Path],
    run: Path,
    against: Sequence[Path] = (),
) -> dict[str, Any]:
    """Train every architecture file and the baselines into the run folder `run`.

    Without files, the baselines alone; where the space has one architecture, that one. `against`
    are files of further baselines.

    Writes networks/<id>-seed<k>/network.safetensors and results.json; a network that is already
    trained or scored there is not trained or scored again. Returns the summary.

    Raises:
        UserError: files of another space or another split, unknown limits, a data set that does
            not fit, another run's folder.
    """
    # All checks come before the folder is made: a corrected command is then no "other config".
    if not has_finished(run, STAGE):
        check_machine(stage)
    prepared = prepare(stage, architectures, against)
    inputs = {f"architecture {n}": Path(path) for n, path in enumerate(architectures, start=1)}
    inputs |= {f"baseline {n}": Path(path) for n, path in enumerate(against, start=1)}
    inputs |= inputs_of(stage.retrain)
    if stage.retrain.supernet is not None:
        inputs["supernet"] = stage.retrain.supernet
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


def prepare(
    stage: RetrainStage, architectures: Sequence[Path], against: Sequence[Path] = ()
) -> Prepared:
    """Read and check everything that a retraining needs, without writing anything.

    Raises:
        UserError: what is wrong with the files, the limits, the data, the batch, the device or the
            supernet.
    """
    space = space_from_description(stage.space)
    config = stage.retrain
    limits = config.limits
    to_keep = list(limits_from(limits or {}, "retrain.limits"))
    finalists: list[tuple[Architecture, Mapping[str, float]]] = []
    documents: list[tuple[Architecture, Mapping[str, Any]]] = []
    for path in architectures:
        architecture, document = _read(path, space)
        provenance = document["provenance"]
        found_under: Mapping[str, float] = {}
        if limits is None:
            where = f"{path}: provenance.limits (retrain.limits replaces them)"
            found_under = provenance.get("limits") or {}
            to_keep += limits_from(found_under, where)
        finalists.append((architecture, found_under))
        documents.append((architecture, document))
    given: dict[str, Architecture] = {}
    for path in against:
        architecture, document = _read(path, space)
        name = document["provenance"].get("design") or Path(path).stem
        with naming(path):
            check_names([name], "network")
        if given.setdefault(name, architecture) != architecture:
            raise UserError(f"{path}: another network to compare with is named '{name}' too")
        documents.append((architecture, document))
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
        given=given,
        limits=limits,
        costs_of=costs_of,
    )
    data = open_for(space, stage.data)
    check_fit(space.decode(space.first()), data)
    first = space.decode(space.first())

    def modules() -> Iterator[nn.Module]:
        with torch.device("meta"):
            yield from (build(space.decode(e.architecture)) for e in comparison.entries)

    seen, starts = data.seen_by(first), starts_of(config, comparison.entries)
    # Those from scratch differ in their epochs alone.
    check_phases(starts[0].settings, seen, first, modules, data.everything, space)
    per_epoch = steps_per_epoch(data.everything, config)
    manifest = data.manifest()
    for _, document in documents:
        splits = document["provenance"].get("splits")
        _check_splits(document["path"], splits, manifest["splits"])
    if config.supernet is not None:
        # What it was trained on must not become test images.
        check_data(RunFolder(config.supernet, SUPERNET_STAGE), data)
    return Prepared(space, data, manifest, device, per_epoch, comparison, starts, tuple(documents))


def _read(path: Path, space: SearchSpace) -> tuple[Architecture, Mapping[str, Any]]:
    """An architecture file: its document with its `path`, and a `provenance` in any case.

    Raises:
        UserError: no architecture of the space, or a provenance that is none.
    """
    _, architecture, document = load_architecture(path, expected_space=space)
    provenance = document.get("provenance") or {}
    if not isinstance(provenance, Mapping):
        raise UserError(f"{path}: field 'provenance' is not an object")
    return architecture, {**document, "provenance": provenance, "path": str(path)}


def _check_splits(path: str, found: Any, now: Mapping[str, Any]) -> None:
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
    space = prepared.space
    is_new = on_first(lambda: record_data(folder, prepared.manifest, prepared.data.facts))
    if is_new:
        on_first(lambda: _say_same(prepared.data))
    trainings = prepared.trainings(stage)
    # The first has most of the networks; one decision for all, as their graphs are the same.
    compiled = decided_once(
        folder, lambda: trainings[0].compile_decision(prepared.steps_per_epoch, prepared.device)
    )
    if (supernet := stage.retrain.supernet) is not None:
        on_first(lambda: _record_work(supernet, prepared, folder))
    pairs = list(zip(prepared.starts, trainings, strict=True))
    jobs = [
        (start, entry, of_start.job(entry.architecture, k, folder.path, compiled=compiled))
        for k in range(stage.retrain.seeds)
        for start, of_start in pairs
        for entry in start.entries
    ]
    scores = run_jobs([job for _, _, job in jobs], stage.retrain.workers, folder)

    def row(start: Start, entry: Entry) -> dict[str, Any]:
        own = [job for s, e, job in jobs if s is start and e is entry]
        found = [scores[job.name] for job in own]
        return {
            "name": start.named(entry.name),
            "kind": entry.kind,
            "roles": [{**asdict(role), "name": start.named(role.name)} for role in entry.roles],
            **_begun(start, entry),
            "choices": dict(entry.architecture.choices),
            "costs": dict(prepared.comparison.costs_of(space.decode(entry.architecture))),
            "test_top1": [score["top1"] for score in found],
            "test_top5": [score["top5"] for score in found],
            **_by_class(found),
            **_by_image(found),
            "networks": [str(job.folder.relative_to(folder.path)) for job in own],
        }

    rows = [row(start, entry) for start in prepared.starts for entry in start.entries]
    summary = {
        "limit_sets": [one.as_dict() for one in prepared.comparison.limit_sets],
        "epochs": stage.retrain.total_epochs,
        "networks": rows,
    }
    on_first(lambda: folder.finish(summary))
    return summary


def _begun(start: Start, entry: Entry) -> dict[str, Any]:
    """How a row's networks began, where not all do alike."""
    if start.name is None:
        return {}
    identity = entry.architecture.id
    return {"start": start.name, "epochs": start.settings.total_epochs, "id": identity}


def _record_work(supernet: Path, prepared: Prepared, folder: RunFolder) -> None:
    """Keep in the manifest what went before, as the folders tell it at the run's first start."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for architecture, document in prepared.documents:
        found.setdefault(architecture.id, []).append(document)
    if not folder.manifest.get("work_before"):
        searched = len(prepared.data.search)
        folder.record("work_before", work_before(folder.path, supernet, found, searched))

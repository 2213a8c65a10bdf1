"""Stage 3: train finalists and baselines from scratch, and score each once on the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional as F

from evaluate.baselines import random_baselines, uniform_baselines
from evaluate.jobs import run_jobs
from supernet.architecture import Architecture
from supernet.architecture_file import load_architecture
from supernet.costs import cost
from supernet.network import build
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.spec import BlockSpec
from training.compilation import decide, num_graphs, time_step
from training.data import DataConfig, open_training_data
from training.device import choose_device, set_threads
from training.fit_check import check_fit
from training.loop import steps_per_epoch
from training.network_training import TrainingJob
from training.run_folder import RunFolder
from training.seeds import derive_seed
from training.settings import TrainingSettings

STAGE = "retrain"


class RetrainConfig(TrainingSettings):
    """Training settings, seeds a network, baselines, and how many networks train at a time.

    `uniform`: the so many uniform architectures of most OPs within the limits. `random`: so many
    random ones. `limits`: `max_*` and `min_*` of the baselines; None takes those under which the
    first finalist was found. `workers`: networks trained side by side as Ray tasks, 0 trains one
    after another in this process.
    """

    seeds: int = Field(3, ge=1)
    uniform: int = Field(2, ge=0)
    random: int = Field(3, ge=0)
    limits: dict[str, float] | None = None
    workers: int = Field(0, ge=0)


class RetrainStage(BaseModel):
    """Everything `retrain` needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    space: dict[str, Any]
    data: DataConfig = Field(default_factory=lambda: DataConfig(name="fashion-mnist-mini"))
    retrain: RetrainConfig = RetrainConfig()
    seed: int = 0


@dataclass(frozen=True)
class Entry:
    """One network of the comparison; `kind` is finalist, uniform or random."""

    name: str
    kind: str
    architecture: Architecture


def retrain(stage: RetrainStage, architectures: Sequence[Path], run: Path) -> dict[str, Any]:
    """Train every architecture file and the baselines into the run folder `run`.

    Writes networks/<id>-seed<k>/network.safetensors and results.json; a network that is already
    trained or scored there is not trained or scored again. Returns the summary.

    Raises:
        UserError: files of another space, a data set that does not fit, another run's folder.
    """
    space = space_from_description(stage.space)
    loaded = [load_architecture(path, expected_space=space) for path in architectures]
    limits = stage.retrain.limits
    if limits is None:
        limits = loaded[0][2].get("provenance", {}).get("limits", {}) if loaded else {}
    entries = comparison(space, [architecture for _, architecture, _ in loaded], stage, limits)
    config = {**stage.model_dump(mode="json"), "space": space.describe()}
    # How many train at a time changes no result; a run may be resumed with another number.
    del config["retrain"]["workers"]
    inputs = {f"architecture {n}": Path(path) for n, path in enumerate(architectures, start=1)}
    folder = RunFolder.open(run, STAGE, config, inputs)
    with folder.lock():
        if folder.summary is not None:
            return folder.summary
        return _retrain(stage, space, entries, limits, folder)


def comparison(
    space: SearchSpace,
    finalists: Sequence[Architecture],
    stage: RetrainStage,
    limits: Mapping[str, float],
) -> list[Entry]:
    """Finalists, then uniform, then random baselines; an architecture that recurs comes once."""
    names = ["finalist"] if len(finalists) == 1 else [f"finalist {n + 1}" for n in range(99)]
    entries = [Entry(name, "finalist", a) for name, a in zip(names, finalists, strict=False)]
    uniform = uniform_baselines(space, limits, stage.retrain.uniform)
    entries += [Entry(name, "uniform", a) for name, a in uniform.items()]
    drawn = random_baselines(space, limits, stage.retrain.random, stage.seed)
    entries += [Entry(name, "random", a) for name, a in drawn.items()]
    unique: dict[Architecture, Entry] = {}
    for entry in entries:
        unique.setdefault(entry.architecture, entry)
    return list(unique.values())


def _retrain(
    stage: RetrainStage,
    space: SearchSpace,
    entries: Sequence[Entry],
    limits: Mapping[str, float],
    folder: RunFolder,
) -> dict[str, Any]:
    data = open_training_data(stage.data)
    check_fit(space.decode(space.first()), data)
    folder.record("data", data.manifest())
    compiled = _decide_compile(
        stage, space, entries, steps_per_epoch(data.everything, stage.retrain), folder
    )
    jobs = [
        (entry, k, _job(stage, space, entry, k, compiled, folder))
        for k in range(stage.retrain.seeds)
        for entry in entries
    ]
    scores = run_jobs([job for _, _, job in jobs], stage.retrain.workers, folder)
    rows = []
    for entry in entries:
        rows.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "choices": dict(entry.architecture.choices),
                "costs": cost(space.decode(entry.architecture)).as_dict(),
                "test_top1": [scores[job.name]["top1"] for e, _, job in jobs if e is entry],
                "test_top5": [scores[job.name]["top5"] for e, _, job in jobs if e is entry],
                "networks": [
                    str(job.folder.relative_to(folder.path)) for e, _, job in jobs if e is entry
                ],
            }
        )
    summary = {"limits": dict(limits), "epochs": stage.retrain.epochs, "networks": rows}
    folder.finish(summary)
    return summary


def _job(
    stage: RetrainStage, space: SearchSpace, entry: Entry, k: int, compiled: bool, folder: RunFolder
) -> TrainingJob:
    """The k-th training of an entry; equal k, equal images in equal order."""
    name = f"{entry.architecture.id}-seed{k}"
    return TrainingJob(
        name=name,
        space=space.describe(),
        choices=dict(entry.architecture.choices),
        data=stage.data,
        settings=stage.retrain,
        seed=derive_seed(stage.seed, STAGE, k),
        compile=compiled,
        folder=folder.path / "networks" / name,
    )


def _decide_compile(
    stage: RetrainStage,
    space: SearchSpace,
    entries: Sequence[Entry],
    per_epoch: int,
    folder: RunFolder,
) -> bool:
    """Decide once a run, for all networks: units of equal shape share their compiled graph."""
    decided = folder.manifest.get("compile")
    if decided is None:
        settings = stage.retrain
        device = choose_device(settings.device)
        set_threads(settings.threads)
        blocks: list[BlockSpec] = []
        for entry in entries:
            blocks += space.decode(entry.architecture).blocks
        workers = max(settings.workers, 1)
        decision = decide(
            settings.compile,
            device,
            num_graphs(blocks),
            # Each worker compiles for itself.
            per_epoch * settings.epochs * settings.seeds * len(entries) // workers,
            lambda: _eager_step_seconds(space, entries[0], settings.batch_size, device),
        )
        decided = {"compile": decision.compile, "reason": decision.reason}
        folder.record("compile", decided)
    return bool(decided["compile"])


def _eager_step_seconds(
    space: SearchSpace, entry: Entry, batch_size: int, device: torch.device
) -> float:
    spec = space.decode(entry.architecture)
    network = build(spec)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.zeros(
        batch_size, spec.in_channels, spec.image_size, spec.image_size, device=device
    ).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch_size, dtype=torch.long, device=device)
    return time_step(network, lambda: F.cross_entropy(network(x), labels).backward())

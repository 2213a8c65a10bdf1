"""The trainings of several networks, each for a number of seeds: their jobs, compiled or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from evaluate.retrain.config import RepeatedTraining
from supernet.architecture import Architecture
from supernet.network import build
from supernet.space import SearchSpace
from supernet.spec import BlockSpec, NetworkSpec
from training.compilation import CompileDecision, decide, num_graphs, training_step_seconds
from training.data import DataConfig
from training.device import set_threads
from training.loop.phases import num_settings
from training.loop.settings import TrainingSettings
from training.network_training import TrainingJob
from training.processes.distributed import part
from training.seeds import derive_seed
from training.split_facts import SplitFacts


@dataclass(frozen=True)
class NetworkTrainings:
    """Every architecture, trained `settings.seeds` times on `images` of `data`.

    `stage` and `seed` give the seed of the k-th training of every architecture.
    """

    stage: str
    space: SearchSpace
    architectures: Sequence[Architecture]
    data: DataConfig
    settings: RepeatedTraining
    seed: int
    images: Literal["everything", "train"]
    facts: SplitFacts | None = None
    """The hashes of the splits; a job refuses others."""
    mark: str = ""
    """Stands in the names of the jobs, where architectures are trained in several ways."""

    @property
    def specs(self) -> list[NetworkSpec]:
        """Of the architectures, in their order."""
        return [self.space.decode(architecture) for architecture in self.architectures]

    @property
    def number(self) -> int:
        """How many trainings there are."""
        return len(self.architectures) * self.settings.seeds

    def job(self, architecture: Architecture, k: int, run: Path, *, compiled: bool) -> TrainingJob:
        """The k-th training of an architecture; equal k, equal images in equal order."""
        name = f"{architecture.id}{self.mark}-seed{k}"
        return TrainingJob(
            name=name,
            space=self.space.describe(),
            choices=dict(architecture.choices),
            data=self.data,
            settings=self.settings.model_copy(update={"threads": threads_of(self.settings)}),
            seed=derive_seed(self.seed, self.stage, k),
            compile=compiled,
            folder=run / "networks" / name,
            images=self.images,
            facts=self.facts,
        )

    def compile_decision(self, steps_per_epoch: int, device: torch.device) -> CompileDecision:
        """Whether to compile, for all networks: units of equal shape share their compiled graph.

        The seconds are those of one worker: each compiles for itself.
        """
        settings, specs = self.settings, self.specs
        set_threads(threads_of(settings))
        blocks: list[BlockSpec] = [block for spec in specs for block in spec.blocks]
        steps = steps_per_epoch * settings.total_epochs * self.number

        def eager_step_seconds() -> float:
            network = build(specs[0])
            return training_step_seconds(network, network, specs[0], settings.batch_size, device)

        return decide(
            settings.compile,
            device,
            num_graphs(blocks) * num_settings(settings),
            steps // max(settings.workers, 1),
            eager_step_seconds,
            waits_for_others=part().size > 1 and settings.shared_norms,
        )


def threads_of(settings: TrainingSettings) -> int:
    """CPU threads of each network, the same in this process and in a Ray worker."""
    return settings.threads or 1

"""The paths that a supernet's training drew, drawn once more from its seed and its steps alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supernet.architecture import Architecture
from supernet.files import UserError, as_written
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.path_sampling import PathSamplingConfig, UpdateCounts
from training.path_sampling.periods import period_at, periods_of
from training.path_sampling.rules import draw
from training.run_files.folder import RunFolder, open_finished
from training.seeds import stream
from training.supernet_file import STAGE
from training.supernet_stage import SupernetConfig

Counts = Mapping[str, Mapping[str, int]]
"""Position -> choice (as text) -> updates."""


@dataclass(frozen=True)
class Training:
    """All that decides which paths a training drew, and how often it says it updated each choice.

    `epochs` are those of its phases; `recorded` leaves out what was never updated. `made_by` names
    the versions that drew them.
    """

    path: Path
    space: SearchSpace
    sampling: PathSamplingConfig
    seed: int
    epochs: tuple[int, ...]
    steps_per_epoch: int
    recorded: Counts
    made_by: str

    @classmethod
    def read(cls, run: Path) -> Training:
        """That of a finished supernet run.

        Raises:
            UserError: not a finished supernet run, or one that recorded no updates.
        """
        folder = open_finished(run, STAGE)
        config, summary = folder.config, folder.summary or {}
        if not summary.get("update_counts"):
            raise UserError(f"{run}: its summary has no update_counts; another version made it")
        with as_written(folder.manifest_file):
            settings = SupernetConfig.model_validate(config["supernet"])
            return cls(
                path=folder.path,
                space=space_from_description(config["space"], trusted=False),
                sampling=settings.sampling,
                seed=int(config["seed"]),
                epochs=tuple(phase.epochs for phase in settings.in_phases()),
                # All phases have batches of one size, so that their epochs are equally long.
                steps_per_epoch=int(summary["steps"]) // settings.total_epochs,
                recorded={name: dict(by) for name, by in summary["update_counts"].items()},
                made_by=_made_by(folder),
            )

    @property
    def num_steps(self) -> int:
        """Steps of all phases together."""
        return self.steps_per_epoch * sum(self.epochs)

    @property
    def updates(self) -> dict[str, dict[str, int]]:
        """The recorded updates of every choice of the space, 0 where there were none."""
        return {
            position.name: {
                str(choice): self.recorded.get(position.name, {}).get(str(choice), 0)
                for choice in position.choices
            }
            for position in self.space.positions
        }

    def steps(self) -> Iterator[tuple[Architecture, ...]]:
        """The paths of every step, as `training.path_sampling.PathDrawer` drew them."""
        periods = periods_of(self.space, self.sampling)
        before = 0
        for phase, epochs in enumerate(self.epochs, start=1):
            for step in range(epochs * self.steps_per_epoch):
                address = (step,) if phase == 1 else (phase, step)
                period = period_at(periods, before + step // self.steps_per_epoch)
                yield draw(period, self.sampling, stream(self.seed, "paths", *address)).paths
            before += epochs

    def checked_steps(self) -> Iterator[tuple[Architecture, ...]]:
        """The paths of every step; at the end demands that they updated what was recorded.

        Raises:
            UserError: they did not; names the first choice that differs.
        """
        counted = UpdateCounts()
        for paths in self.steps():
            for path in paths:
                counted.add(path)
            yield paths
        found, recorded = _flat(counted.as_dict()), _flat(self.recorded)
        for name, choice in sorted(found.keys() | recorded.keys()):
            drawn, updated = (counts.get((name, choice), 0) for counts in (found, recorded))
            if drawn != updated:
                raise UserError(
                    f"{self.path}: its paths cannot be drawn once more: choice {choice} of {name} "
                    f"comes {drawn:,} times, and was updated {updated:,} times; use what made the "
                    f"run: {self.made_by}"
                )


def _flat(counts: Counts) -> dict[tuple[str, str], int]:
    return {(name, choice): n for name, by in counts.items() for choice, n in by.items()}


def _made_by(folder: RunFolder) -> str:
    manifest: Mapping[str, Any] = folder.manifest
    version, commit = manifest.get("versions", {}).get("evobit"), manifest.get("git_commit")
    of = f" ({commit})" if commit else ""
    return f"evobit {version}{of} on Python {manifest.get('python')}"

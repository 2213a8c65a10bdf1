"""How the networks of a retraining begin: from scratch, or with a supernet's weights, or both."""

from __future__ import annotations

from dataclasses import dataclass

from evaluate.retrain.comparison import Entry
from evaluate.retrain.config import RetrainConfig

TRAINED_ON, FROM_SCRATCH = "trained on", "from scratch"


@dataclass(frozen=True)
class Start:
    """Some networks that begin alike; `name` is None where all networks of the run do.

    `mark` stands in the names of their trainings.
    """

    name: str | None
    entries: tuple[Entry, ...]
    settings: RetrainConfig
    mark: str = ""

    def named(self, network: str) -> str:
        """A network's name in the report: that of one trained on is its own."""
        return f"{network} ({FROM_SCRATCH})" if self.name == FROM_SCRATCH else network


def starts_of(config: RetrainConfig, entries: tuple[Entry, ...]) -> tuple[Start, ...]:
    """Every network trained on from the supernet's weights, then those also trained from scratch.

    Without a supernet all begin as `config` says.
    """
    if config.supernet is None:
        return (Start(None, entries, config),)
    on = config.model_copy(update={"start_from": config.supernet})
    found = [Start(TRAINED_ON, entries, on, "-on")]
    scratch = tuple(
        entry
        for entry in entries
        if config.from_scratch == "all"
        or (config.from_scratch == "finalists" and entry.kind == "finalist")
    )
    if scratch:
        epochs = config.epochs if config.scratch_epochs is None else config.scratch_epochs
        found.append(Start(FROM_SCRATCH, scratch, config.model_copy(update={"epochs": epochs})))
    return tuple(found)

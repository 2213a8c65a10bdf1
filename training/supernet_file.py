"""The weights of a trained supernet, read back from its run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from supernet.architecture_file import describe_difference
from supernet.binarization import Binarization
from supernet.files import (
    UserError,
    as_written,
    check_names_and_shapes,
    load_weights,
    naming,
    or_damaged,
)
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from supernet.supernet import Supernet
from training.data import DataConfig, TrainingData
from training.run_files.folder import RunFolder, open_finished
from training.split_facts import TRAINED_ON, facts_of_run

STAGE = "supernet"
WEIGHTS = "supernet.safetensors"


def check_space(trained: RunFolder, space: SearchSpace) -> None:
    """Demand that a supernet's run folder is of this space.

    Raises:
        UserError: says in what it differs.
    """
    with naming(trained.manifest_file):
        theirs = space_from_description(trained.config.get("space", {}), trusted=False).describe()
    if theirs != space.describe():
        difference = describe_difference(space.describe(), theirs)
        raise UserError(f"supernet {trained.path}: was trained on another space: {difference}")


def check_data(trained: RunFolder, data: TrainingData) -> None:
    """Demand that a supernet was trained on this data's split, and shown images as it shows them.

    The images themselves are compared, by hash: equal settings may name changed files.

    Raises:
        UserError: says in what they differ.
    """
    with or_damaged(trained.manifest_file):
        was = DataConfig.of_file(trained.config["data"]).view(data.channels)
    if was != data.view:
        raise UserError(
            f"supernet {trained.path}: was shown images otherwise ({was}) than this config shows "
            f"them ({data.view}); restore its `data` section, data.view_rule=1 where it had none"
        )
    theirs = facts_of_run(trained)
    if theirs is not None and theirs.changed(data.facts, TRAINED_ON):
        raise UserError(
            f"supernet {trained.path}: was trained on another split of the data than data set "
            f"'{data.config.name}' gives now with these settings: {theirs.changes(data.facts)}"
        )


def describes_supernet(metadata: Mapping[str, str]) -> bool:
    """Whether a file of tensors with this metadata is a supernet's."""
    return "sharing" in metadata


def load_supernet(run: Path) -> Supernet:
    """The trained supernet of a finished run folder, on the CPU.

    Raises:
        UserError: not a finished supernet run, or weights that do not fit its space.
    """
    folder = open_finished(run, STAGE)
    return read_supernet(folder, folder.path / WEIGHTS)


def read_supernet(folder: RunFolder, weights: Path) -> Supernet:
    """The supernet of the run in `folder` with the weights of one of its files, on the CPU.

    Raises:
        UserError: damaged, or weights that do not fit the run's space.
    """
    tensors, metadata = load_weights(weights)
    with as_written(folder.manifest_file):
        space = space_from_description(folder.config["space"], trusted=False)
    with torch.device("meta"), as_written(weights):
        sharing: Any = metadata.get("sharing", "independent")
        described = Binarization.from_description(json.loads(metadata.get("binarization", "{}")))
        supernet = Supernet(space, sharing)
    check_names_and_shapes(tensors, supernet.state_dict(), weights)
    supernet.load_state_dict(tensors, assign=True)
    supernet.set_binarization(described)
    return supernet

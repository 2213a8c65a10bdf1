"""A trained stand-alone network on disk: weights and everything needed to use them, in one file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from supernet.architecture import Architecture
from supernet.binarization import Binarization
from supernet.files import UserError, as_written, check_header, check_names_and_shapes, load_weights
from supernet.files import save_weights as save_tensors
from supernet.network import Network, build, build_from, set_binarization
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.batches import Normalisation
from training.data.config import DataConfig

FORMAT = "evobit/network"
VERSION = 1
WHAT = "a trained network's file (network.safetensors, which 'evobit retrain' writes)"
_KEY = "evobit"  # where safetensors' metadata holds the description


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its origin: `normalisation` is what it must be fed with.

    `binarization` is the setting that it was trained under and is to be used with.
    """

    network: Network
    space: SearchSpace
    architecture: Architecture
    normalisation: Normalisation
    class_names: tuple[str, ...]
    data: DataConfig
    binarization: Binarization = Binarization()


def save_network(
    path: Path, trained: TrainedNetwork, metadata: Mapping[str, str] | None = None
) -> None:
    """Write safetensors whose names are the `state_dict` names, the rest as JSON metadata.

    `metadata` is further text by name.
    """
    description: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "space": trained.space.describe(),
        "choices": dict(trained.architecture.choices),
        "normalisation": asdict(trained.normalisation),
        "class_names": list(trained.class_names),
        "data": trained.data.model_dump(mode="json"),
    }
    if setting := trained.binarization.describe():
        description["binarization"] = setting
    save_tensors(
        path, trained.network.state_dict(), {**(metadata or {}), _KEY: json.dumps(description)}
    )


def describes_network(metadata: Mapping[str, str]) -> bool:
    """Whether a file of tensors with this metadata is a stand-alone network's."""
    return _KEY in metadata


def load_network(path: Path) -> TrainedNetwork:
    """Read a network file; the network is in evaluation mode, on the CPU.

    Raises:
        UserError: missing, truncated, another format or version, or names and shapes that do not
            match its own description.
    """
    tensors, metadata = load_weights(path, WHAT)
    try:
        description: Any = json.loads(metadata.get(_KEY, "null"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its description is not JSON ({error})") from error
    check_header(description, path, format=FORMAT, version=VERSION, what=WHAT)
    try:
        space = space_from_description(description["space"], trusted=False)
        architecture = space.architecture(description["choices"])
        normalisation = _normalisation(description["normalisation"])
        class_names = tuple(map(str, description["class_names"]))
        data = DataConfig(**description["data"])
        binarization = Binarization.from_description(description.get("binarization", {}))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: incomplete description ({error!r})") from error
    with as_written(path), torch.device("meta"):
        spec = space.decode(architecture)
        expected = build(spec).state_dict()
    check_names_and_shapes(tensors, expected, path)
    network = build_from(spec, tensors).eval()
    set_binarization(network, binarization)
    return TrainedNetwork(
        network, space, architecture, normalisation, class_names, data, binarization
    )


def _normalisation(document: Mapping[str, Any]) -> Normalisation:
    """What the network is fed with.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or not of finite numbers.
    """
    mean, std = (tuple(map(float, document[name])) for name in ("mean", "std"))
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0 or len(mean) != len(std):
        raise ValueError(f"mean {mean} and std {std}: expected finite numbers, each std above 0")
    return Normalisation(mean, std, int(document["size"]))

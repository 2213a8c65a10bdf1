"""A trained stand-alone network on disk: weights and everything needed to use them, in one file."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from supernet.architecture import Architecture
from supernet.binarization import Binarization
from supernet.blocks.building import set_binarization
from supernet.files import UserError, as_written, check_header, check_names_and_shapes, load_weights
from supernet.files import save_weights as save_tensors
from supernet.files.image_view import View
from supernet.files.names import check_names
from supernet.network import Network, build, build_from
from supernet.space import SearchSpace
from supernet.spaces import space_from_description
from training.data.config import DataConfig
from training.data.normalisation import Normalisation
from training.split_facts import SplitFacts

FORMAT = "evobit/network"
VERSION = 1
WHAT = "a trained network's file (network.safetensors, which 'evobit retrain' writes)"
_KEY = "evobit"  # where safetensors' metadata holds the description


@dataclass(frozen=True)
class Inherited:
    """Weights of a supernet, as a search scored them: names of run folders, candidate's number."""

    supernet: str
    supernet_sha256: str
    search: str
    candidate: int
    search_top1: float
    """On the search split, percent."""
    adapted_steps: int = 0
    """Steps of its own training, after which it was scored."""

    def __str__(self) -> str:
        """In words, for cards and tables."""
        steps = self.adapted_steps
        training = f"trained on for {steps} steps by itself" if steps else "not trained on"
        return (
            f"inherited from the supernet {self.supernet} (sha256 {self.supernet_sha256}), "
            f"{training}; candidate {self.candidate} of the search {self.search}, "
            f"{self.search_top1:.2f} % on its search split"
        )


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its origin: `view` and `normalisation` say what it must be fed with.

    `binarization` is the setting that it was trained under and is to be used with.
    """

    network: Network
    space: SearchSpace
    architecture: Architecture
    normalisation: Normalisation
    class_names: tuple[str, ...]
    data: DataConfig
    binarization: Binarization = Binarization()
    splits: SplitFacts | None = None
    """Which images it was trained on, and which not; None in older files."""
    inherited: Inherited | None = None
    """Where its weights are from if it was not trained itself."""
    view: View = field(kw_only=True)


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
        "view": trained.view.describe(),
        "class_names": list(trained.class_names),
        "data": trained.data.model_dump(mode="json"),
    }
    if setting := trained.binarization.describe():
        description["binarization"] = setting
    if trained.splits is not None:
        description["splits"] = trained.splits.as_dict()
    if trained.inherited is not None:
        description["inherited"] = asdict(trained.inherited)
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
        check_names(class_names, "class")
        data = DataConfig.of_file(description["data"])
        described = description.get("view")
        view = None if described is None else View.from_description(described)
        binarization = Binarization.from_description(description.get("binarization", {}))
        recorded = description.get("splits")
        splits = None if recorded is None else SplitFacts.from_dict(recorded)
        inherited = _inherited(description.get("inherited"))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, zlib.error) as error:
        raise UserError(f"{path}: incomplete description ({error!r})") from error
    with as_written(path), torch.device("meta"):
        spec = space.decode(architecture)
        expected = build(spec).state_dict()
    check_names_and_shapes(tensors, expected, path)
    if view is None:
        view = View.taken(path, normalisation.size, spec.in_channels)
    if (view.size, view.channels) != (spec.image_size, spec.in_channels):
        raise UserError(
            f"{path}: its view is {view}, its network takes {spec.in_channels} x {spec.image_size}"
        )
    network = build_from(spec, tensors).eval()
    set_binarization(network, binarization)
    return TrainedNetwork(
        network,
        space,
        architecture,
        normalisation,
        class_names,
        data,
        binarization,
        splits,
        inherited,
        view=view,
    )


def _inherited(document: Any) -> Inherited | None:
    """Where weights are from.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or of another kind.
    """
    if document is None:
        return None
    found = Inherited(
        str(document["supernet"]),
        str(document["supernet_sha256"]),
        str(document["search"]),
        int(document["candidate"]),
        float(document["search_top1"]),
        int(document.get("adapted_steps", 0)),
    )
    if not math.isfinite(found.search_top1):
        raise ValueError(f"search_top1 {found.search_top1}: expected a finite number")
    return found


def _normalisation(document: Mapping[str, Any]) -> Normalisation:
    """What the network is fed with.

    Raises:
        KeyError, TypeError, ValueError: a field is missing or not of finite numbers.
    """
    mean, std = (tuple(map(float, document[name])) for name in ("mean", "std"))
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0 or len(mean) != len(std):
        raise ValueError(f"mean {mean} and std {std}: expected finite numbers, each std above 0")
    return Normalisation(mean, std, int(document["size"]))

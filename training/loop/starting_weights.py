"""The weights that a training begins with, where `start_from` names some.

A network file serves a network of the same names, and a supernet on the path of its architecture.
A supernet serves a supernet of the same names, and every network of its space: by its own path,
whatever the way in which the supernet shares weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from supernet.architecture import Architecture
from supernet.files import UserError, check_names_and_shapes, load_weights
from supernet.files.telling import tell_once
from supernet.space import SearchSpace
from supernet.supernet import Supernet
from training.network_file import TrainedNetwork, describes_network, load_network
from training.run_files.folder import RunFolder, open_finished, run_around
from training.supernet_file import STAGE, WEIGHTS, check_space, describes_supernet, read_supernet


def check_start(path: Path, modules: Iterable[nn.Module], space: SearchSpace) -> None:
    """Demand that each of `modules`, which may be on the meta device, can begin with the weights.

    `path`: a file, or the run folder of a finished supernet. `space`: what the modules are of.

    Raises:
        UserError: other names or shapes; of a supernet for a network: one of another space; of a
            network file for a supernet: an architecture that its space does not have, or weights
            that are generated.
    """
    tensors, metadata = load_weights(_weights_at(path))
    for module in modules:
        if isinstance(module, Supernet):
            if describes_network(metadata):
                _architecture_in(module, load_network(path), path)
                continue
        elif _holds_supernet(path, metadata):
            _supernet_at(path, space)
            return  # which has a path for every network of its space
        check_names_and_shapes(tensors, module.state_dict(), path)


def read_start(
    path: Path,
    module: nn.Module,
    space: SearchSpace | None = None,
    architecture: Architecture | None = None,
) -> dict[str, Tensor]:
    """The state dict that `module` begins with; a network is `architecture` of `space`.

    Of a network file the tensors are put into the supernet's path of that architecture, and what
    is on no such path is as it was. Of a supernet a network takes those of its own path, BatchNorm
    statistics as they are there. Factor and shift of BatchNorms are left out, and a note says so,
    where the supernet's have none.

    Raises:
        UserError: what `check_start` refuses.
    """
    tensors, metadata = load_weights(_weights_at(path))
    if isinstance(module, Supernet):
        if describes_network(metadata):
            return _with_network(module, load_network(path), path)
    elif space is not None and architecture is not None and _holds_supernet(path, metadata):
        return _of_path(_supernet_at(path, space), architecture, module, path)
    check_names_and_shapes(tensors, module.state_dict(), path)
    return tensors


def _weights_at(path: Path) -> Path:
    """`path` itself, or the weights in it where it is a supernet's run folder."""
    return open_finished(path, STAGE).path / WEIGHTS if path.is_dir() else path


def _holds_supernet(path: Path, metadata: Mapping[str, str]) -> bool:
    return path.is_dir() or describes_supernet(metadata)


def _supernet_at(path: Path, space: SearchSpace) -> Supernet:
    """The supernet of a run folder, or of a file in one, which says what space it is of.

    Raises:
        UserError: a file that lies elsewhere, or a supernet of another space.
    """
    folder = RunFolder(path, STAGE) if path.is_dir() else run_around(path)
    if folder is None or folder.manifest["stage"] != STAGE:
        raise UserError(
            f"start_from {path}: is a supernet's file outside its run folder, which says what "
            f"space it is of; expected the run folder or a file in it"
        )
    check_space(folder, space)
    return read_supernet(folder, _weights_at(path))


def _of_path(
    supernet: Supernet, architecture: Architecture, network: nn.Module, path: Path
) -> dict[str, Tensor]:
    tensors = supernet.extract(architecture).state_dict()
    if not supernet.space.supernet_norms_affine:
        own = network.state_dict()
        norms = [name for name, norm in network.named_modules() if isinstance(norm, _BatchNorm)]
        left_out = [f"{norm}.{name}" for norm in norms for name in ("weight", "bias")]
        tensors |= {name: own[name] for name in left_out}
        _say_left_out(path, left_out, "begin as initialised")
    return tensors


def _with_network(supernet: Supernet, trained: TrainedNetwork, path: Path) -> dict[str, Tensor]:
    network = supernet.path(_architecture_in(supernet, trained, path))
    if left_out := network.put(trained.network.state_dict()):
        _say_left_out(path, left_out, "are left out")
    return supernet.state_dict()


def _say_left_out(path: Path, names: list[str], what: str) -> None:
    tell_once(
        f"note: {path}: {len(names)} factors and shifts of BatchNorms {what}; this supernet's "
        f"have none"
    )


def _architecture_in(supernet: Supernet, trained: TrainedNetwork, path: Path) -> Architecture:
    """The architecture of the supernet's space that the network is."""
    space = supernet.space
    if supernet.sharing == "generated":
        raise UserError(
            f"start_from {path} is one network; sharing 'generated' keeps no weights that it could "
            f"be put into: expected a supernet's file, or sharing independent, nested or sliced"
        )
    try:
        architecture = space.architecture(dict(trained.architecture.choices))
        is_same = space.decode(architecture) == trained.network.spec
    except (UserError, ValueError) as error:
        raise UserError(
            f"start_from {path}: its architecture is none of space '{space.name}' ({error})"
        ) from error
    if not is_same:
        raise UserError(
            f"start_from {path}: its architecture is another network in space '{space.name}' as "
            f"it is here; expected a network of this space with the same options"
        )
    return architecture

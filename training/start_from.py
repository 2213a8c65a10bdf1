"""Weights to begin a training with: the module's own names, or one network's for a supernet."""

from __future__ import annotations

import sys
from pathlib import Path

from torch import Tensor, nn

from supernet.architecture import Architecture
from supernet.files import UserError, check_names_and_shapes, load_weights
from supernet.supernet import Supernet
from training.network_file import TrainedNetwork, describes_network, load_network


def check_start(path: Path, module: nn.Module) -> None:
    """Demand that `module`, which may be on the meta device, can begin with the file's weights.

    Raises:
        UserError: other names or shapes; of a network file for a supernet: an architecture that
            its space does not have, or weights that are generated.
    """
    tensors, metadata = load_weights(path)
    if isinstance(module, Supernet) and describes_network(metadata):
        _architecture_in(module, load_network(path), path)
    else:
        check_names_and_shapes(tensors, module.state_dict(), path)


def read_start(path: Path, module: nn.Module) -> dict[str, Tensor]:
    """The state dict that `module` begins with.

    Of a network file the tensors are put into the supernet's path of that architecture, and what
    is on no such path is as it was. Factor and shift of its BatchNorms are left out, and a note
    says so, where the supernet's have none.

    Raises:
        UserError: what `check_start` refuses.
    """
    check_start(path, module)
    tensors, metadata = load_weights(path)
    if not (isinstance(module, Supernet) and describes_network(metadata)):
        return tensors
    trained = load_network(path)
    network = module.path(_architecture_in(module, trained, path))
    if left_out := network.put(trained.network.state_dict()):
        print(
            f"note: {path}: {len(left_out)} factors and shifts of BatchNorms are left out; this "
            f"supernet's have none",
            file=sys.stderr,
        )
    return module.state_dict()


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

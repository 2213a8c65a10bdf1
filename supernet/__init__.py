"""What a network is: spaces, choices, specs, costs, binary layers, blocks, shared weights.

`architecture` (one choice for each position of a `space`) and `candidate` (an architecture and its
score) cross all walls, as files: `architecture_file`, `history_file`. `spaces/` decode one into a
spec, plain data of `spec/`; `networks/` are the papers' specs, `designs` those a person would write
down. All is read off a spec: `costs/` count it, `network` and `verify` build and count the module,
made of `layers/` and `blocks/`; `supernet` builds all of a space's, `sharing/` their weights;
`binarization` makes convolutions binary in training, `exact_signs` their weights -1 and +1 after.
`files/` and `plugins` read what a user gives, `charts/` draw, `rank_correlation` compares two
rankings, `finite` takes NaN for a failure, `lazy` serves packages' faces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import keep_former_paths, lazily

if TYPE_CHECKING:
    from supernet.architecture import Architecture as Architecture
    from supernet.architecture_file import load_architecture as load_architecture
    from supernet.architecture_file import save_architecture as save_architecture
    from supernet.binarization import Binarization as Binarization
    from supernet.costs import cost as cost
    from supernet.network import build as build
    from supernet.networks import network_spec as network_spec
    from supernet.space import SearchSpace as SearchSpace
    from supernet.spaces import space_from_description as space_from_description
    from supernet.supernet import Supernet as Supernet

_HOME = {
    "Architecture": "supernet.architecture",
    "Binarization": "supernet.binarization",
    "SearchSpace": "supernet.space",
    "Supernet": "supernet.supernet",
    "build": "supernet.network",
    "cost": "supernet.costs",
    "load_architecture": "supernet.architecture_file",
    "network_spec": "supernet.networks",
    "save_architecture": "supernet.architecture_file",
    "space_from_description": "supernet.spaces",
}
__getattr__ = lazily(__name__, _HOME)
keep_former_paths(
    {
        "supernet.image_file": "supernet.files.image_file",
        "supernet.layer_spec": "supernet.spec.layers",
        "supernet.own_block": "supernet.spec.own",
    }
)

"""What a network is: spaces, choices, specs, costs, binary layers, blocks, shared weights."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used, so that `import supernet` loads no torch."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'supernet' has no attribute '{name}'")

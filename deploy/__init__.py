"""How it ships: packed model, kernels, runtime, exporters."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.runtime import PackedNetwork as PackedNetwork

_HOME = {
    "PackedNetwork": "deploy.runtime",
    "load": "deploy.packed_file",
    "pack": "deploy.lowering",
}


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used, so that `import deploy` loads nothing else."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'deploy' has no attribute '{name}'")

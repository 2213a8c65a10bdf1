"""Public names of a package that are imported where they are first used.

`import supernet` or `import deploy` must load no torch, and `evobit --help` no library at all, but
`supernet.Supernet` and `deploy.load` are what people type.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a `package` whose public names live in the modules `homes` names."""

    def getattribute(name: str) -> Any:
        if name in homes:
            return getattr(importlib.import_module(homes[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getattribute


class FormerPaths(MetaPathFinder, Loader):
    """Modules by the import paths that they had, for files written against the documentation.

    `import supernet.layer_spec` gives the very module `supernet.spec.layers`.
    """

    def __init__(self, homes: Mapping[str, str]) -> None:
        self._homes = homes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for a former path, and for no other."""
        return ModuleSpec(fullname, self) if fullname in self._homes else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module at its present path; importlib writes `spec` into it, which is taken back."""
        module = importlib.import_module(self._homes[spec.name])
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it was executed at its present path."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def keep_former_paths(homes: Mapping[str, str]) -> None:
    """Let the former paths in `homes` be imported as what they are now."""
    sys.meta_path.append(FormerPaths(homes))

"""A user's own Python module, named by import path or by file, without editing the checkout."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from supernet.files import UserError


def load_module(where: str, what: str) -> ModuleType:
    """Import the module `where`, or the Python file `where` under a name of its own, once.

    Runs the user's code: only for what a config or the command line names, never for what a
    data file names. `what` begins the message of every refusal.

    Raises:
        UserError: there is no such module or file, or it cannot be imported.
    """
    try:
        return _load_file(where, what) if where.endswith(".py") else importlib.import_module(where)
    except ModuleNotFoundError as error:
        # Found, but something that it imports is missing: that is named by the general case.
        if not (error.name and f"{where}.".startswith(f"{error.name}.")):
            raise _broken(where, what, error) from error
        raise UserError(
            f"{what}: there is no module {error.name!r}, "
            "expected an importable one or a file ending in .py"
        ) from error
    except UserError:
        raise
    except Exception as error:
        raise _broken(where, what, error) from error


def _load_file(where: str, what: str) -> ModuleType:
    path = Path(where).resolve()
    if not path.is_file():
        raise UserError(
            f"{what}: no file {path}, expected a Python file (a relative path counts from the "
            "working folder)"
        )
    # Files of one name in different folders are different modules.
    name = f"evobit_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, path  # its name ends in .py
    module = importlib.util.module_from_spec(spec)
    # Before it runs: a dataclass with postponed annotations looks its module up there.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _broken(where: str, what: str, error: Exception) -> UserError:
    return UserError(
        f"{what}: importing {where} failed ({type(error).__name__}: {error}); "
        "EVOBIT_DEBUG=1 shows where"
    )

"""A user's own Python code, named by import path or by file; the one gate through which it is run.

A config or the command line may name code. A file may not, wherever it came from: a name that a
network file, an architecture file or a run folder holds is found only where the command's own
config, or its option --allow, has named the same.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from supernet.files import UserError

_allowed: set[str] = set()
"""Names that a config or the command line has given in this process, and --allow."""


def allow(*names: str) -> None:
    """Let files name this code too: `module:name` or `file.py:name`."""
    _allowed.update(names)


def own_code(name: str, what: str, *, trusted: bool = True) -> Any:
    """What `module:name` or `file.py:name` stands for; None where the module has no such name.

    A name that is not `trusted`, because a file holds it, runs only what was named by something
    trusted before (`allow`). `what` begins the message of every refusal.

    Raises:
        UserError: the name is a file's own, or there is no such module or file, or it cannot be
            imported.
    """
    where, _, attribute = name.rpartition(":")
    if trusted:
        allow(name)
    elif name not in _allowed:
        raise UserError(
            f"{what}: is named by a file, and code is run for no file; give a config that names "
            f"it too, or, if you know this code, the option --allow {shlex.quote(name)}"
        )
    return getattr(load_module(where, what), attribute, None)


def load_module(where: str, what: str) -> ModuleType:
    """Import the module `where`, or the Python file `where` under a name of its own, once.

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
    path = Path(os.path.expanduser(where)).resolve()
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

"""Tensors as one safetensors file, and whether they fit a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.files.user_error import UserError, reason_of
from supernet.files.writing import atomic_write

if TYPE_CHECKING:
    from torch import Tensor


def save_weights(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as one safetensors file, atomically; `metadata` is text by name."""
    from safetensors.torch import save

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as file:
        file.write(save(contiguous, metadata=dict(metadata or {})))


def load_weights(
    path: str | Path, what: str = "a safetensors file"
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors and its metadata; `what` it has to be is for errors.

    Raises:
        UserError: the file is missing, truncated or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    if Path(path).is_dir():
        raise UserError(f"weights {path}: is a folder, expected a file")
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return tensors, dict(file.metadata() or {})
    except OSError as error:
        raise UserError(f"weights {path}: cannot be read ({reason_of(error)})") from error
    except SafetensorError as error:
        raise UserError(
            f"weights {path}: cannot be read (not safetensors, or damaged); expected {what}"
        ) from error


def check_names_and_shapes(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: str | Path
) -> None:
    """Demand the same tensor names and shapes, and real numbers where there are real ones.

    Raises:
        UserError: lists missing names, unexpected names, differing shapes and types (three of
            each).
    """
    problems = []
    if missing := sorted(expected.keys() - found.keys()):
        problems.append(f"missing {_some(missing)}")
    if extra := sorted(found.keys() - expected.keys()):
        problems.append(f"unexpected {_some(extra)}")
    shapes = [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if found[name].shape != expected[name].shape
    ]
    if shapes:
        problems.append(f"wrong shape: {_some(shapes)}")
    kinds = [
        f"{name} is {found[name].dtype}, expected {expected[name].dtype}"
        for name in sorted(expected.keys() & found.keys())
        if not _same_kind(found[name], expected[name])
    ]
    if kinds:
        problems.append(f"wrong type: {_some(kinds)}")
    if problems:
        raise UserError(f"weights {path} do not fit this network: {'; '.join(problems)}")


def _same_kind(a: Tensor, b: Tensor) -> bool:
    """Whether both are of real numbers, of whatever width, or neither is."""
    return a.is_floating_point() == b.is_floating_point() and not a.is_complex()


def _some(names: list[str]) -> str:
    """The first three of `names`, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more

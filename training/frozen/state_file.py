"""A state_dict that others wrote: a torch file or safetensors, its names as the module has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from supernet.files import UserError, load_weights

_WRAPPERS = ("state_dict", "model")
"""Where training scripts put the weights in a checkpoint that holds more."""

_PREFIX = "module."
"""What DataParallel puts before every name."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read tensors by name; no code of the file is run.

    A dictionary below 'state_dict' or 'model' is taken instead of its surroundings, and a
    'module.' before every name is dropped.

    Raises:
        UserError: missing, damaged, or anything but tensors by name.
    """
    state: Any = load_weights(path)[0] if path.suffix == ".safetensors" else _read_torch(path)
    if isinstance(state, dict):
        state = next((state[key] for key in _WRAPPERS if isinstance(state.get(key), dict)), state)
    if not (isinstance(state, dict) and state and all(map(_is_named_tensor, state.items()))):
        raise UserError(f"weights {path}: holds no state_dict, expected tensors by name")
    if all(name.startswith(_PREFIX) for name in state):
        return {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
    return dict(state)


def _read_torch(path: Path) -> Any:
    if path.is_dir():
        raise UserError(f"weights {path}: is a folder, expected a file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in every way there is
        strerror = error.strerror if isinstance(error, OSError) else None
        reason = strerror or "damaged, or not of tensors alone"
        raise UserError(
            f"weights {path}: cannot be read ({reason}); expected a state_dict that torch.save or "
            "safetensors wrote"
        ) from error


def _is_named_tensor(item: tuple[object, object]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, Tensor)

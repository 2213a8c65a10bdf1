"""Training state on disk: written atomically, read without unpickling, resumed exactly."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from supernet.files import UserError, atomic_write, check_header

FORMAT = "evobit/training-state"
VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, text, dicts, lists) to `path`."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, **state}, buffer)
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, onto the CPU.

    Raises:
        UserError: truncated, altered or not a training state.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: damaged training state ({first_line})") from error
    return check_header(state, path, format=FORMAT, version=VERSION)

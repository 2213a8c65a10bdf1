"""Independent random streams from one seed, addressed by name, so that resuming needs no state."""

from __future__ import annotations

import hashlib
from random import Random

import torch


def derive_seed(seed: int, *address: str | int) -> int:
    """A 63-bit seed for the stream at `address`, e.g. derive_seed(0, "augment", step)."""
    text = "/".join(map(str, (seed, *address)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *address: str | int) -> Random:
    """A Python generator for the stream at `address`."""
    return Random(derive_seed(seed, *address))


def torch_stream(seed: int, *address: str | int) -> torch.Generator:
    """A torch CPU generator for the stream at `address`."""
    return torch.Generator().manual_seed(derive_seed(seed, *address))

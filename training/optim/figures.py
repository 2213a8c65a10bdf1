"""What an optimiser has to tell a training log."""

from __future__ import annotations

from training.optim.bop import Bop
from training.optim.combined import Combined, Optimiser


def figures(optimiser: Optimiser) -> dict[str, float]:
    """`flip_rate`: flips a step and binary weight that had a gradient, since the last call.

    Empty without Bop, and where no binary weight had a gradient since. Waits for the device.
    """
    parts = optimiser.optimisers if isinstance(optimiser, Combined) else (optimiser,)
    counts = [part.take_flips() for part in parts if isinstance(part, Bop)]
    seen = sum(seen for _, seen in counts)
    return {"flip_rate": sum(flips for flips, _ in counts) / seen} if seen else {}

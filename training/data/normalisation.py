"""What a network sees of an image: its size, and pixels less a mean over a deviation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Normalisation:
    """What the network sees: pixels in [0, 1], less `mean`, over `std`, `size` pixels a side."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int

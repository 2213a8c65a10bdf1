"""How sure a difference is over the test images, for the very networks that were trained."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Right = NDArray[np.bool_]
"""Of each test image, in the order of the split, whether its class was found."""

NORMAL95 = 1.96
"""Of a normal distribution, two-sided 95 %: what a bootstrap over hundreds of images comes to."""


def as_text(right: Right) -> str:
    """A bit an image, the first in the highest bit of the first byte, as base64."""
    return b64encode(np.packbits(right).tobytes()).decode()


def from_text(text: str, num_images: int) -> Right:
    """What `as_text` wrote.

    Raises:
        ValueError: no base64, or too few bits.
    """
    bits = np.unpackbits(np.frombuffer(b64decode(text, validate=True), np.uint8))
    if len(bits) < num_images:
        raise ValueError(f"{len(bits)} bits of {num_images} images")
    return bits[:num_images].astype(bool)


def paired_interval(ours: Sequence[Right], theirs: Sequence[Right]) -> tuple[float, float]:
    """Mean difference in points of top-1, and the half width of its 95 % interval over images.

    d_i = (share of our networks that are right about image i) - (share of theirs); the mean is 100
    mean(d), the half width 100 x 1.96 std(d) / sqrt(N). Of one network a side that is McNemar's:
    with b and c images that one of them alone finds, N^2 var = b + c - (b - c)^2 / N.
    """
    d = np.mean(ours, axis=0, dtype=float) - np.mean(theirs, axis=0, dtype=float)
    return 100 * float(d.mean()), 100 * NORMAL95 * float(d.std()) / len(d) ** 0.5

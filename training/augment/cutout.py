"""Cutout (arXiv 1708.04552): a square of each image is set to the data's mean.

The centre is uniform over the image and what lies outside is clipped, so that a corner may be all
that is lost. After normalisation the mean is 0.
"""

import torch
from torch import Tensor


def cutout_windows(
    batch: int, height: int, width: int, size: int, generator: torch.Generator
) -> Tensor:
    """Draw each image's window: top, left, bottom, right, int64 (4, batch) in pixels."""
    middle = torch.randint(height, (batch,), generator=generator)
    centre = torch.randint(width, (batch,), generator=generator)
    top, left = middle - size // 2, centre - size // 2
    return torch.stack(
        [
            top.clamp(min=0),
            left.clamp(min=0),
            (top + size).clamp(max=height),
            (left + size).clamp(max=width),
        ]
    )

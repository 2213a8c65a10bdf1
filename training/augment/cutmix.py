"""CutMix (arXiv 1905.04899): a box of one image is pasted into another at the same place.

lam ~ Beta(alpha, alpha); the box has sqrt(1 - lam) of the image's height and width, rounded down to
an even number of pixels as in the authors' code (clovaai/CutMix-PyTorch). Its centre is uniform,
what lies outside is clipped. One box a batch. The image keeps 1 - (pixels of the box) / (H W) of
its label.
"""

from __future__ import annotations

from math import sqrt
from random import Random

import torch
from torch import Tensor


def cut_mask(height: int, width: int, alpha: float, rng: Random) -> Tensor:
    """Draw which pixels are the partner's: bool (H, W)."""
    kept = rng.betavariate(alpha, alpha)
    centre = rng.randrange(height), rng.randrange(width)
    top, left, bottom, right = box(height, width, kept, centre)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def box(height: int, width: int, kept: float, centre: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box that leaves about `kept` of an image: top, left, bottom, right in pixels."""
    side = sqrt(1 - kept)
    half = int(height * side) // 2, int(width * side) // 2
    top, left = (max(middle - h, 0) for middle, h in zip(centre, half, strict=True))
    bottom, right = min(centre[0] + half[0], height), min(centre[1] + half[1], width)
    return top, left, bottom, right

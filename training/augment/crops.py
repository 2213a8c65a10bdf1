"""Where each image of a batch is cropped, and which ones are mirrored: drawn apart from the pixels.

What belongs to an image besides its pixels can so be cropped alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from training.augment.config import AugmentConfig
from training.data.normalisation import shrunk_side
from training.processes.distributed import Part

# Random resized crops as in "Going deeper with convolutions" (arXiv 1409.4842), section 6.
MAX_ASPECT_RATIO = 4 / 3
NUM_TRIES = 10  # windows drawn an image; the first that fits is used, else the whole image


@dataclass(frozen=True, eq=False)
class Crops:
    """A window of each of B images of `side` pixels a side, float32 (B,) each, in pixels.

    A window may reach over the border. `flip`: which images are mirrored after it, bool (B,); None
    for none.
    """

    side: int
    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    flip: Tensor | None

    def part(self, part: Part) -> Crops:
        """Those of one part of the batch."""
        return Crops(
            self.side,
            part.of(self.top),
            part.of(self.left),
            part.of(self.height),
            part.of(self.width),
            None if self.flip is None else part.of(self.flip),
        )


def draw_crops(
    batch: int, stored: int, config: AugmentConfig, size: int, generator: torch.Generator
) -> Crops:
    """Draw the windows of `batch` images.

    Args:
        batch: how many.
        stored: side of the images as they are stored, pixels.
        config: what is varied.
        size: side of the images that the network sees, pixels.
        generator: on the CPU; equal states give equal results.
    """
    flip = torch.rand(batch, generator=generator) < 0.5 if config.flip else None
    if config.crop == "resized":
        return Crops(stored, *_draw_windows(batch, stored, config.min_scale, generator), flip)
    side, full = shrunk_side(stored, size), torch.full((batch,), float(size))
    if config.crop == "none":
        start = torch.full((batch,), float((side - size) // 2))
        return Crops(side, start, start, full, full, flip)
    num_offsets = side + 2 * config.pad - size + 1
    offsets = torch.randint(num_offsets, (2, batch), generator=generator)
    top, left = offsets.float() - config.pad
    return Crops(side, top, left, full, full, flip)


def _draw_windows(
    batch: int, side: int, min_scale: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw each image's window: top, left, height, width, float32 (B,) in whole pixels."""
    draws = torch.rand(4, batch, NUM_TRIES, generator=generator)
    area = side * side * (min_scale + (1 - min_scale) * draws[0])
    ratio = torch.exp((2 * draws[1] - 1) * math.log(MAX_ASPECT_RATIO))  # width / height
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width >= 1) & (width <= side) & (height >= 1) & (height <= side)
    first = fits.int().argmax(1, keepdim=True)
    missing = ~fits.any(1)
    height = height.gather(1, first)[:, 0].masked_fill(missing, side)
    width = width.gather(1, first)[:, 0].masked_fill(missing, side)
    # rand is below 1, so that the floor is at most side - height
    top = (draws[2, :, 0] * (side - height + 1)).floor()
    left = (draws[3, :, 0] * (side - width + 1)).floor()
    return top, left, height, width

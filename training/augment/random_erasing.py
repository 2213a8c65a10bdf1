"""Random Erasing (arXiv 1708.04896): a rectangle inside an image is filled with noise.

Its share of the area and its height / width are uniform in their ranges; of the windows drawn the
first that fits is used, at a uniform place. The paper fills it with uniform levels; here each value
is a standard normal draw, which has the mean and deviation of a normalised image.
"""

import torch
from torch import Tensor

NUM_TRIES = 10  # windows drawn an image; where none fits the image stays whole


def erasing_windows(
    batch: int,
    height: int,
    width: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Draw each image's window: top, left, bottom, right, int64 (4, batch) in pixels."""
    draws = torch.rand(4, batch, NUM_TRIES, generator=generator)
    pixels = height * width * (area[0] + (area[1] - area[0]) * draws[0])
    ratio = aspect[0] + (aspect[1] - aspect[0]) * draws[1]  # height / width
    high, wide = (pixels * ratio).sqrt().round(), (pixels / ratio).sqrt().round()
    fits = (high >= 1) & (high <= height) & (wide >= 1) & (wide <= width)
    first = fits.int().argmax(1, keepdim=True)
    missing = ~fits.any(1)
    high = high.gather(1, first)[:, 0].masked_fill(missing, 0)
    wide = wide.gather(1, first)[:, 0].masked_fill(missing, 0)
    # rand is below 1, so that the floor is at most height - high
    top = (draws[2, :, 0] * (height - high + 1)).floor()
    left = (draws[3, :, 0] * (width - wide + 1)).floor()
    return torch.stack([top, left, top + high, left + wide]).long()

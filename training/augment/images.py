"""Random crops and flips of a whole batch at once, each image with a draw of its own.

B images of C channels and S pixels a side go in as uint8; float32 (B, C, size, size) comes out.
Draws are made on the CPU and moved, so that every device crops the same windows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.files.image_view import middle
from training.augment.config import AugmentConfig
from training.augment.crops import Crops, draw_crops
from training.data.normalisation import Normalisation, shrink
from training.processes.distributed import WHOLE, Part


def augment(
    images: Tensor,
    config: AugmentConfig,
    seen: Normalisation,
    generator: torch.Generator,
    part: Part = WHOLE,
) -> Tensor:
    """Crop, mirror and normalise a batch, or one part of it as the whole batch would be.

    `config.erase` and `config.mix` come after this (`training.loop.batches.Variation`).

    Args:
        images: uint8 (B, C, S, S) on any device.
        config: what is varied.
        seen: what the network sees: side of the images returned, and their normalisation.
        generator: on the CPU; equal states give equal results.
        part: which share of a batch the images are; draws are made for all of it.

    Returns:
        float32 (B, C, size, size) on the images' device.
    """
    crops = draw_crops(len(images) * part.size, images.shape[3], config, seen.size, generator)
    return crop(images, crops.part(part), config, seen)


def crop(images: Tensor, crops: Crops, config: AugmentConfig, seen: Normalisation) -> Tensor:
    """`augment` by windows that are drawn already, one of each image."""
    assert images.dtype == torch.uint8, images.dtype
    if config.crop == "resized":
        return seen.of_levels(_resample(images, crops, seen.size))
    images = shrink(images, seen.size)
    if config.crop == "pad":
        images = _cut(images, crops, config.pad, seen.size)
    else:
        images = middle(images, seen.size)
    if crops.flip is not None:
        flip = crops.flip.to(images.device, non_blocking=True)
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
    return seen.of_levels(images)


def _cut(images: Tensor, crops: Crops, pad: int, size: int) -> Tensor:
    """Cut each image's window out of the batch with a black border of `pad` pixels."""
    places = torch.stack([crops.top, crops.left]).long() + pad
    top, left = places.to(images.device, non_blocking=True)
    padded = F.pad(images, (pad, pad, pad, pad))
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # (B, C, top, left, size, size), a view
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def _resample(images: Tensor, crops: Crops, size: int) -> Tensor:
    """Resize each image's window, antialiased, as two small matrix products an image."""
    side = images.shape[3]
    rows = _resize_matrices(crops.top, crops.height, side, size)  # (B, size, S)
    columns = _resize_matrices(crops.left, crops.width, side, size)
    if crops.flip is not None:
        columns = torch.where(crops.flip[:, None, None], columns.flip(1), columns)
    rows = rows.to(images.device, non_blocking=True).unsqueeze(1)  # (B, 1, size, S)
    columns = columns.to(images.device, non_blocking=True).unsqueeze(1)
    # In full precision even where the caller computes in bfloat16, which holds 8 bits of 255.
    with torch.autocast(images.device.type, enabled=False):
        return rows @ images.float() @ columns.transpose(2, 3)


def _resize_matrices(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """Return the matrices (B, size, side) that resize pixels start to start + length.

    A triangle filter as wide as the step between output pixels, at least one input pixel: the
    weights of bilinear resizing with antialiasing.
    """
    step = (length / size)[:, None]  # input pixels an output pixel
    centres = start[:, None] + (torch.arange(size) + 0.5) * step
    pixels = torch.arange(side)
    distance = ((pixels + 0.5) - centres[:, :, None]).abs_()
    weights = distance.div_(-step.clamp(min=1)[:, :, None]).add_(1).clamp_(min=0)
    # Pixels outside the window do not count: its border is extended, not looked through.
    inside = (pixels >= start[:, None]) & (pixels < (start + length)[:, None])
    weights.mul_(inside[:, None, :])
    return weights.div_(weights.sum(2, keepdim=True))

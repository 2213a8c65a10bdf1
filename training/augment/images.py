"""Random crops and flips of a whole batch at once, each image with a draw of its own.

B images of C channels and S pixels a side go in as uint8; float32 (B, C, size, size) comes out.
Draws are made on the CPU and moved, so that every device crops the same windows.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment.config import AugmentConfig
from training.augment.crops import Crops, draw_crops, shrunk_side
from training.processes.distributed import WHOLE, Part


def augment(
    images: Tensor,
    config: AugmentConfig,
    mean: Sequence[float],
    std: Sequence[float],
    size: int,
    generator: torch.Generator,
    part: Part = WHOLE,
) -> Tensor:
    """Crop, mirror and normalise a batch, or one part of it as the whole batch would be.

    `config.erase` and `config.mix` come after this (`training.loop.batches.vary`).

    Args:
        images: uint8 (B, C, S, S) on any device.
        config: what is varied.
        mean: of each channel, pixels in [0, 1].
        std: of each channel.
        size: side of the images returned, pixels.
        generator: on the CPU; equal states give equal results.
        part: which share of a batch the images are; draws are made for all of it.

    Returns:
        float32 (B, C, size, size) on the images' device.
    """
    crops = draw_crops(len(images) * part.size, images.shape[3], config, size, generator)
    return crop(images, crops.part(part), config, mean, std, size)


def crop(
    images: Tensor,
    crops: Crops,
    config: AugmentConfig,
    mean: Sequence[float],
    std: Sequence[float],
    size: int,
) -> Tensor:
    """`augment` by windows that are drawn already, one of each image."""
    assert images.dtype == torch.uint8, images.dtype
    if config.crop == "resized":
        return to_float(_resample(images, crops, size), mean, std)
    images = _shrink(images, size)
    if config.crop == "pad":
        images = _cut(images, crops, config.pad, size)
    else:
        images = _centre_crop(images, size)
    if crops.flip is not None:
        flip = crops.flip.to(images.device, non_blocking=True)
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
    return to_float(images, mean, std)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float], size: int) -> Tensor:
    """Return what a network sees in evaluation: the centre, normalised; nothing is drawn.

    Args:
        images: uint8 (B, C, S, S). Larger images are cropped at the centre, after shrinking to
            8/7 of `size` where they are wider than 1.5 x `size`; smaller ones are enlarged.
        mean: of each channel, pixels in [0, 1].
        std: of each channel.
        size: side of the images returned, pixels.

    Returns:
        float32 (B, C, size, size).
    """
    assert images.dtype == torch.uint8, images.dtype
    return to_float(fit(images, size), mean, std)


def fit(images: Tensor, size: int) -> Tensor:
    """The levels that `normalise` normalises: uint8 (B, C, S, S) -> (B, C, size, size)."""
    return _centre_crop(_shrink(images, size), size)


def to_float(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Map levels 0-255 of (B, C, H, W) to (level/255 - mean) / std, float32."""
    scale = torch.tensor([1 / (255 * value) for value in std]).to(images.device)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)]).to(images.device)
    # Two roundings on every device: a fused multiply-add would make GPUs differ.
    floats = images.to(torch.float32, copy=True)
    return floats.mul_(scale[:, None, None]).sub_(shift[:, None, None])


def _shrink(images: Tensor, size: int) -> Tensor:
    """Resize images that are smaller than `size` or so large that a crop would show too little."""
    side, target = images.shape[3], shrunk_side(images.shape[3], size)
    if target == side:
        return images
    floats = F.interpolate(images.float(), (target, target), mode="bilinear", antialias=True)
    return floats.round_().clamp_(0, 255).to(torch.uint8)


def _centre_crop(images: Tensor, size: int) -> Tensor:
    start = (images.shape[3] - size) // 2
    return images[:, :, start : start + size, start : start + size]


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

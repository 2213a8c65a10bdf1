"""Random crops and flips of a whole batch at once, each image with a draw of its own.

B images of C channels and S pixels a side go in as uint8; float32 (B, C, size, size) comes out.
Draws are made on the CPU and moved, so that every device crops the same windows.
"""

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from supernet.image_file import storage_size
from training.distributed import WHOLE, Part
from training.mixing.config import EraseConfig, MixConfig, check_probabilities

# Random resized crops as in "Going deeper with convolutions" (arXiv 1409.4842), section 6.
MAX_ASPECT_RATIO = 4 / 3
NUM_TRIES = 10  # windows drawn an image; the first that fits is used, else the whole image
MAX_CROPPED_AWAY = 1.5  # stored images wider than 1.5 x the input are shrunk before cropping


class AugmentConfig(BaseModel):
    """How training images are varied: cropped and mirrored, then erased, then mixed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: Literal["none", "pad", "resized"] = Field(
        "pad",
        description="none: the centre; pad: a random window of the image with a black border; "
        "resized: a random window of random area, resized",
    )
    pad: int = Field(2, ge=0, description="width of the border in pixels, for crop: pad")
    min_scale: float = Field(
        0.08, gt=0, le=1, description="least share of the area kept, for crop: resized"
    )
    flip: bool = Field(True, description="mirror every other image, by chance")
    # None is what run folders hold that were made before there was erasing and mixing.
    erase: EraseConfig | None = Field(None, description="erase a window of some images")
    mix: tuple[MixConfig, ...] | None = Field(
        None, description="mix the images of a batch; one of these at most acts on a batch"
    )

    @model_validator(mode="after")
    def _one_mix_at_most(self) -> Self:
        check_probabilities(self.mix or ())
        return self


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

    `config.erase` and `config.mix` come after this (`training.batches.vary`).

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
    assert images.dtype == torch.uint8, images.dtype
    batch = len(images) * part.size
    flip = part.of(torch.rand(batch, generator=generator) < 0.5) if config.flip else None
    if config.crop == "resized":
        drawn = _draw_windows(batch, images.shape[3], config.min_scale, generator)
        windows = tuple(map(part.of, drawn))
        return _to_float(_resample(images, windows, flip, size), mean, std)
    images = _shrink(images, size)
    if config.crop == "pad":
        images = _random_crop(images, config.pad, size, generator, part)
    else:
        images = _centre_crop(images, size)
    if flip is not None:
        flip = flip.to(images.device, non_blocking=True)
        images = torch.where(flip[:, None, None, None], images.flip(3), images)
    return _to_float(images, mean, std)


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
    return _to_float(_centre_crop(_shrink(images, size), size), mean, std)


def _to_float(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Map levels 0-255 to (level/255 - mean) / std."""
    scale = torch.tensor([1 / (255 * value) for value in std]).to(images.device)
    shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)]).to(images.device)
    # Two roundings on every device: a fused multiply-add would make GPUs differ.
    floats = images.to(torch.float32, copy=True)
    return floats.mul_(scale[:, None, None]).sub_(shift[:, None, None])


def _shrink(images: Tensor, size: int) -> Tensor:
    """Resize images that are smaller than `size` or so large that a crop would show too little."""
    side = images.shape[3]
    if size <= side <= MAX_CROPPED_AWAY * size:
        return images
    target = storage_size(size) if side > size else size
    floats = F.interpolate(images.float(), (target, target), mode="bilinear", antialias=True)
    return floats.round_().clamp_(0, 255).to(torch.uint8)


def _centre_crop(images: Tensor, size: int) -> Tensor:
    start = (images.shape[3] - size) // 2
    return images[:, :, start : start + size, start : start + size]


def _random_crop(
    images: Tensor, pad: int, size: int, generator: torch.Generator, part: Part
) -> Tensor:
    """Cut a window of each image out of the batch with a black border of `pad` pixels."""
    num_offsets = images.shape[3] + 2 * pad - size + 1
    offsets = torch.randint(num_offsets, (2, len(images) * part.size), generator=generator)
    top, left = part.of(offsets, 1).to(images.device, non_blocking=True)
    padded = F.pad(images, (pad, pad, pad, pad))
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)  # (B, C, top, left, size, size), a view
    return windows[torch.arange(len(images), device=images.device), :, top, left]


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


def _resample(
    images: Tensor,
    windows: tuple[Tensor, ...],
    flip: Tensor | None,
    size: int,
) -> Tensor:
    """Resize each image's window, antialiased, as two small matrix products an image."""
    side = images.shape[3]
    top, left, height, width = windows
    rows = _resize_matrices(top, height, side, size)  # (B, size, S)
    columns = _resize_matrices(left, width, side, size)
    if flip is not None:
        columns = torch.where(flip[:, None, None], columns.flip(1), columns)
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

"""Bring a batch of images to the size asked for."""

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.image_file import border, needs_only_border

RESIZED_AT_ONCE = 1024  # images; bounds the float copy that resizing makes


def fit(images: Tensor, size: int) -> Tensor:
    """Return uint8 images (N, C, size, size).

    Images at most 4 pixels too small get a black border. Others are resized (bilinear,
    antialiased) until the shorter side fits, and cropped at the centre.
    """
    height, width = images.shape[2:]
    if height == width == size:
        return images
    if needs_only_border(height, width, size):
        top, left = border(height, width, size)
        return F.pad(images, (left, size - width - left, top, size - height - top))
    return torch.cat([_resize(chunk, size) for chunk in images.split(RESIZED_AT_ONCE)])


def _resize(images: Tensor, size: int) -> Tensor:
    height, width = images.shape[2:]
    shorter = min(height, width)
    resized = F.interpolate(
        images.float(),
        size=(round(height * size / shorter), round(width * size / shorter)),
        mode="bilinear",
        antialias=True,
    )
    top, left = (resized.shape[2] - size) // 2, (resized.shape[3] - size) // 2
    cropped = resized[:, :, top : top + size, left : left + size]
    return cropped.round().clamp(0, 255).to(torch.uint8)

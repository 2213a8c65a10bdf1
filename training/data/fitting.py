"""Bring images to the size asked for, and say which stored size serves a network's input size."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Up to 2 black pixels a side are added instead of resizing: 28x28 digits and clothes become 32x32
# (28 + 2 x 2) pixel for pixel.
MAX_BORDER = 2
RESIZED_AT_ONCE = 1024  # images; bounds the float copy that resizing makes


def storage_size(image_size: int) -> int:
    """Return the side at which images of a folder are kept for networks of `image_size` pixels.

    From 64 pixels on there is room for crops, as in the usual 256 for 224 (256/224 = 8/7).
    Smaller images keep their size: every pixel of theirs counts.
    """
    return image_size if image_size < 64 else -(-image_size * 8 // 7)


def needs_only_border(height: int, width: int, size: int) -> bool:
    """Tell whether a black border alone brings an image to `size` x `size`."""
    return all(0 <= size - side <= 2 * MAX_BORDER for side in (height, width))


def border(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the black pixels above and left of an image centred on `size` x `size`."""
    return (size - height) // 2, (size - width) // 2


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

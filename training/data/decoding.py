"""Decode an image file to a square uint8 tensor."""

from pathlib import Path

import torch
from torch import Tensor

from supernet.image_file import read_pixels


def decode_image(path: Path, size: int, channels: int) -> Tensor:
    """Return the image as uint8 (channels, size, size); see `supernet.image_file.read_pixels`.

    Raises:
        UserError: the file is no image or is damaged.
    """
    return torch.from_numpy(read_pixels(path, size, channels))

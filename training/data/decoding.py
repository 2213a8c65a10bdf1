"""Decode an image file to a square uint8 tensor."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from supernet.files import UserError
from training.data.fitting import border, needs_only_border


def decode_image(path: Path, size: int, channels: int) -> Tensor:
    """Return the image as uint8 (channels, size, size), in colour (3) or grey (1).

    The shorter side is resized to `size` and the centre cropped; an image at most 4 pixels too
    small gets a black border instead, as `training.data.fitting.fit` does.

    Raises:
        UserError: the file is no image or is damaged.
    """
    from PIL import Image

    assert channels in (1, 3), channels
    mode = "RGB" if channels == 3 else "L"
    try:
        with Image.open(path) as file:
            image = file.convert(mode)
    except Exception as error:  # each of PIL's decoders raises errors of its own kinds
        reason = str(error).replace(str(path), "the file")
        raise UserError(f"{path}: cannot be decoded ({reason}), expected an image") from error
    width, height = image.size
    if needs_only_border(height, width, size):
        top, left = border(height, width, size)
        canvas = Image.new(mode, (size, size))
        canvas.paste(image, (left, top))
        image = canvas
    else:
        shorter = min(width, height)
        scaled = (round(width * size / shorter), round(height * size / shorter))
        image = image.resize(scaled, Image.Resampling.BILINEAR)
        left, top = (scaled[0] - size) // 2, (scaled[1] - size) // 2
        image = image.crop((left, top, left + size, top + size))
    pixels = torch.from_numpy(np.array(image))  # (H, W) or (H, W, C)
    return pixels.reshape(size, size, channels).permute(2, 0, 1).contiguous()

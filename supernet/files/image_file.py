"""One image file as pixels, and how images of another size are made to fit; no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from supernet.files.user_error import UserError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

# Up to 2 black pixels a side are added instead of resizing: 28x28 digits and clothes become 32x32
# (28 + 2 x 2) pixel for pixel.
MAX_BORDER = 2

MAX_RATIO = 100
"""Of the sides of an image, of which a square in the middle is seen."""


def list_images(folder: Path) -> list[Path]:
    """Image files anywhere below `folder`, in the order of their names.

    Raises:
        UserError: there is none.
    """
    files = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if found := sorted(path for path in files if path.is_file()):
        return found
    raise UserError(f"{folder}: expected a folder with images ({' '.join(IMAGE_SUFFIXES)}) in it")


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


def read_pixels(path: Path, size: int, channels: int) -> NDArray[np.uint8]:
    """Return the image as uint8 (channels, size, size), in colour (3) or grey (1).

    The shorter side is resized to `size` and the centre cropped; an image at most 4 pixels too
    small gets a black border instead.

    Raises:
        UserError: the file is no image or is damaged.
    """
    from PIL import Image, ImageOps

    assert channels in (1, 3), channels
    mode = "RGB" if channels == 3 else "L"
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected an image")
    try:
        with Image.open(path) as file:
            # Cameras store how they were held beside the pixels.
            image = _eight_bits(ImageOps.exif_transpose(file), path).convert(mode)
    except UserError:
        raise
    except Exception as error:  # each of PIL's decoders raises errors of its own kinds
        reason = str(error).replace(f"'{path}'", "").strip()
        raise UserError(f"{path}: cannot be decoded ({reason}), expected an image") from error
    image = _not_too_long(image)
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
    pixels = np.array(image).reshape(size, size, channels)  # from (H, W) or (H, W, C)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _not_too_long(image: Image.Image) -> Image.Image:
    """The image, or its middle where a side is over `MAX_RATIO` times the other.

    A line of 60,000 pixels would grow as wide as it is high: 96 x 5,760,000 at 96 pixels.
    """
    width, height = image.size
    longest = MAX_RATIO * min(width, height)
    left, top = max(width - longest, 0) // 2, max(height - longest, 0) // 2
    if left == top == 0:
        return image
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """The image itself, or one of 16 bits a pixel as 8: level / 257, since 65535 = 255 x 257."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    levels = np.asarray(image)
    if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
        raise UserError(f"{path}: expected an image of 8 or 16 bits a pixel and channel")
    return Image.fromarray(np.round(levels / 257).astype(np.uint8))


def read_for_network(path: Path, image_size: int, channels: int) -> NDArray[np.uint8]:
    """Return what a network sees of an image in evaluation: uint8 (channels, S, S), the centre.

    Raises:
        UserError: as `read_pixels`.
    """
    stored = storage_size(image_size)
    start = (stored - image_size) // 2
    inner = slice(start, start + image_size)
    return np.ascontiguousarray(read_pixels(path, stored, channels)[:, inner, inner])

"""One image file as pixels, and how images of another size are made to fit; no torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from supernet.files.image_formats import image_formats
from supernet.files.image_listing import list_below, say_left_out
from supernet.files.user_error import UserError

if TYPE_CHECKING:
    from PIL import Image

# Up to 2 black pixels a side are added instead of resizing: 28x28 digits and clothes become 32x32
# (28 + 2 x 2) pixel for pixel.
MAX_BORDER = 2

MAX_RATIO = 100
"""Of the sides of an image, of which a square in the middle is seen."""


BACKGROUND = (255, 255, 255)
"""What shows through where an image is transparent."""

MAX_PIXELS = 2**27
"""Of one image: 134 million, 400 MB in colour. The largest cameras have 102 million."""

UPRIGHT = {
    **{2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"},
    **{6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"},
}
"""How an image is turned by the orientation that its camera noted (EXIF 0x0112)."""


def list_images(folder: Path) -> list[Path]:
    """Image files anywhere below `folder`, in the order of their names; see `list_below`.

    Raises:
        UserError: there is none, or a link leads nowhere.
    """
    found = list_below(folder)
    if found.files:
        return [folder / name for name, _ in found.files]
    other = f"; there are {say_left_out(found.left_out)}" if found.left_out else ""
    raise UserError(f"{folder}: expected a folder with images (.jpg, .png, ...) in it{other}")


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
    from PIL import Image

    assert channels in (1, 3), channels
    mode = "RGB" if channels == 3 else "L"
    image = _decoded(path).convert(mode)
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


def _decoded(path: Path) -> Image.Image:
    """The image upright, of 8 bits a channel, opaque, in grey or colour ("1", "L" or "RGB")."""
    from PIL import Image

    if not path.is_file():
        raise UserError(f"{path}: no such file, expected an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # By content: a file may say that it is a .png and be what Pillow gives to a program.
            with Image.open(path, formats=image_formats()) as file:
                _check_size(path, *file.size)
                file.load()
                image = _opaque(_eight_bits(_upright(file), path))
    except UserError:
        raise
    except Image.UnidentifiedImageError as error:
        raise UserError(
            f"{path}: cannot be decoded (no format that is decoded here), expected an image"
        ) from error
    except Image.DecompressionBombError as error:
        raise UserError(_too_large(path, "")) from error
    except Exception as error:  # each of PIL's decoders raises errors of its own kinds
        reason = str(error).replace(f"'{path}'", "").strip()
        raise UserError(f"{path}: cannot be decoded ({reason}), expected an image") from error
    return image if image.mode in ("1", "L", "RGB") else image.convert("RGB")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(_too_large(path, f" {width:,} x {height:,} pixels"))


def _too_large(path: Path, size: str) -> str:
    return (
        f"{path}: is too large{size and ':'}{size}; expected at most {MAX_PIXELS:,} pixels: make "
        f"it smaller first"
    )


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera was held; no matter what else is wrong in its notes."""
    from PIL import Image

    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # notes that cannot be read: by PIL's decoders, each with its own errors
        return image
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(Image.Transpose[turn])


def _opaque(image: Image.Image) -> Image.Image:
    """Composed over `BACKGROUND` where it has transparency, else as it is."""
    from PIL import Image

    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image
    below = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    below.alpha_composite(image.convert("RGBA"))
    return below.convert("RGB")


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
        raise UserError(
            f"{path}: has levels that are not whole numbers from 0 to 65,535; expected an image of "
            f"8 or 16 bits a channel: convert it first"
        )
    pixels = np.empty(levels.shape, np.uint8)
    for row, line in enumerate(levels):  # a line at a time: of all, floats would take 8 bytes each
        pixels[row] = np.round(line / 257)
    return Image.fromarray(pixels)


def read_for_network(path: Path, image_size: int, channels: int) -> NDArray[np.uint8]:
    """Return what a network sees of an image in evaluation: uint8 (channels, S, S), the centre.

    Raises:
        UserError: as `read_pixels`.
    """
    stored = storage_size(image_size)
    start = (stored - image_size) // 2
    inner = slice(start, start + image_size)
    return np.ascontiguousarray(read_pixels(path, stored, channels)[:, inner, inner])

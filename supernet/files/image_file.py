"""One image file as pixels; no torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from supernet.files.image_formats import image_formats
from supernet.files.image_listing import list_below, say_left_out, tell_left_out
from supernet.files.user_error import UserError

if TYPE_CHECKING:
    from PIL import Image

Colour = tuple[int, int, int]

BACKGROUND: Colour = (255, 255, 255)
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
        tell_left_out(folder, found.left_out)
        return [folder / name for name, _ in found.files]
    other = f"; there are {say_left_out(found.left_out)}" if found.left_out else ""
    raise UserError(f"{folder}: expected a folder with images (.jpg, .png, ...) in it{other}")


def decode(path: Path, background: Colour | None = BACKGROUND) -> Image.Image:
    """The image upright, of 8 bits a channel, opaque, in grey or colour ("1", "L" or "RGB").

    Where it is transparent, `background` shows through; None: its transparency is dropped.

    Raises:
        UserError: the file is no image or is damaged.
    """
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
                image = _opaque(_eight_bits(_upright(file), path), background)
    except (UserError, MemoryError):
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


def _opaque(image: Image.Image, background: Colour | None) -> Image.Image:
    """Composed over `background` where it has transparency, else as it is."""
    from PIL import Image

    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image
    if background is None:
        return image.convert("RGB")
    below = Image.new("RGBA", image.size, (*background, 255))
    below.alpha_composite(image.convert("RGBA"))
    return below.convert("RGB")


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

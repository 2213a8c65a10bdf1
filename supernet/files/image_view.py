"""How a photograph becomes what a network sees: one rule for all that shows images; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from supernet.files.image_file import BACKGROUND, Colour, decode
from supernet.files.telling import tell_once

if TYPE_CHECKING:
    from PIL import Image

    Images = TypeVar("Images", bound=Any)  # of NumPy or of torch

Resize = Literal["crop", "pad"]
CHANNELS = (1, 3)  # grey, colour

MAX_BORDER = 2
"""Black pixels a side that are added instead of resizing: 28x28 digits and clothes become 32x32
(28 + 2 x 2) pixel for pixel."""

MAX_RATIO = 100
"""Of the sides of an image, of which a square in the middle is seen."""

MAX_CROPPED_AWAY = 1.5
"""A stored square is at most 1.5 x as wide as the middle of it that a network sees."""

MAX_STORED = 2048
"""Side of a stored square, pixels."""


@dataclass(frozen=True)
class View:
    """From an image to levels, uint8 (channels, size, size), which are normalised after it.

    1. Where the image is transparent, `background` shows through; None: transparency is dropped.
    2. It is made grey (1 channel) or RGB (3).
    3. It becomes a square of `stored` pixels. One that is at most 4 pixels too small gets a black
       border. Others are resized (bilinear, antialiased): `crop` fits the shorter side and cuts the
       middle out of the longer, `pad` fits the longer side and makes the rest black.
    4. Training varies that square. Otherwise its middle `size` pixels are seen.
    """

    size: int
    stored: int
    channels: int
    resize: Resize = "crop"
    background: Colour | None = BACKGROUND

    def __post_init__(self) -> None:
        if not 1 <= self.size <= self.stored <= min(MAX_CROPPED_AWAY * self.size, MAX_STORED):
            raise ValueError(
                f"images are kept at {self.stored} pixels for a network of {self.size}, expected "
                f"{self.size} to {min(int(MAX_CROPPED_AWAY * self.size), MAX_STORED)}"
            )

    @classmethod
    def usual(cls, size: int, channels: int, resize: Resize = "crop") -> View:
        """What is used where nothing else is said."""
        return cls(size, usual_stored(size, resize), channels, resize)

    @classmethod
    def before(cls, size: int, channels: int) -> View:
        """What files show that were made before they said how: see `docs/formats.md`."""
        return cls(size, usual_stored(size), channels, background=None)

    @classmethod
    def taken(cls, file: object, size: int, channels: int) -> View:
        """What a network file shows that was made before they said how, which is said once."""
        view = cls.before(size, channels)
        tell_once(f"{file}: does not say how images are shown to it; as before: {view}")
        return view

    def describe(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def from_description(cls, document: Mapping[str, Any]) -> View:
        """What `describe` gave.

        Raises:
            KeyError, TypeError, ValueError: something else.
        """
        names = ("size", "stored", "channels", "resize", "background")
        size, stored, channels, resize, background = (document[name] for name in names)
        if resize not in get_args(Resize) or channels not in CHANNELS:
            raise ValueError(f"resize {resize!r} and channels {channels!r}")
        if not (type(size) is type(stored) is type(channels) is int):
            raise ValueError(f"size {size!r}, stored {stored!r} and channels {channels!r}")
        if background is not None:
            red, green, blue = background
            background = (_level(red), _level(green), _level(blue))
        return cls(size, stored, channels, resize, background)

    def __str__(self) -> str:
        """In words, for cards and notes."""
        fit = "the shorter side" if self.resize == "crop" else "the longer side"
        rest = "the middle is cut out" if self.resize == "crop" else "the rest is black"
        seen = "" if self.size == self.stored else f", of which the middle {self.size} are seen"
        colour = "grey" if self.channels == 1 else "RGB"
        below = "is dropped" if self.background is None else f"shows {self.background}"
        return (
            f"{fit} resized to {self.stored} pixels, {rest}{seen}; {colour}; transparency {below}"
        )

    def read(self, path: Path) -> NDArray[np.uint8]:
        """What a network sees of an image file: uint8 (channels, size, size).

        Raises:
            UserError: no image, or damaged.
        """
        return np.ascontiguousarray(self.middle(self.read_square(path)))

    def read_square(self, path: Path) -> NDArray[np.uint8]:
        """An image file as it is kept: uint8 (channels, stored, stored).

        Raises:
            UserError: no image, or damaged.
        """
        return self._square(decode(path, self.background))

    def square_of_levels(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image in memory, uint8 (1 or 3, H, W), as `read_square` would read it from a file."""
        from PIL import Image

        if levels.shape == (self.channels, self.stored, self.stored):
            return levels
        grey = levels.shape[0] == 1
        return self._square(Image.fromarray(levels[0] if grey else levels.transpose(1, 2, 0)))

    def middle(self, squares: Images) -> Images:
        """What is seen of squares: (..., stored, stored) -> (..., size, size)."""
        return middle(squares, self.size)

    def _square(self, image: Image.Image) -> NDArray[np.uint8]:
        from PIL import Image

        mode, side = "RGB" if self.channels == 3 else "L", self.stored
        image = image.convert(mode)
        if not needs_only_border(image.height, image.width, side):
            image = _cropped(image, side) if self.resize == "crop" else _fitted(image, side)
        if image.size != (side, side):
            canvas = Image.new(mode, (side, side))
            top, left = border(image.height, image.width, side)
            canvas.paste(image, (left, top))
            image = canvas
        pixels = np.array(image).reshape(side, side, self.channels)  # from (H, W) or (H, W, C)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def usual_stored(size: int, resize: Resize = "crop") -> int:
    """The side at which images are kept for networks of `size` pixels.

    From 64 pixels on there is room for crops, as in the usual 256 for 224 (256/224 = 8/7). Smaller
    images keep their size, as every pixel of theirs counts; and so do those that are padded, of
    which all is to be seen.
    """
    return size if size < 64 or resize == "pad" else -(-size * 8 // 7)


def middle(images: Images, size: int) -> Images:
    """The middle (..., size, size) of images (..., S, S), of NumPy or torch; no copy."""
    start = (images.shape[-1] - size) // 2
    return images[..., start : start + size, start : start + size]


def needs_only_border(height: int, width: int, size: int) -> bool:
    """Tell whether a black border alone brings an image to `size` x `size`."""
    return all(0 <= size - side <= 2 * MAX_BORDER for side in (height, width))


def border(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the black pixels above and left of an image centred on `size` x `size`."""
    return (size - height) // 2, (size - width) // 2


def _cropped(image: Image.Image, side: int) -> Image.Image:
    """The shorter side resized to `side`, and the middle of the longer."""
    from PIL import Image

    image = _not_too_long(image)
    width, height = image.size
    shorter = min(width, height)
    scaled = (round(width * side / shorter), round(height * side / shorter))
    image = image.resize(scaled, Image.Resampling.BILINEAR)
    left, top = (scaled[0] - side) // 2, (scaled[1] - side) // 2
    return image.crop((left, top, left + side, top + side))


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """The longer side resized to `side`."""
    from PIL import Image

    longer = max(image.size)
    width, height = (max(1, round(length * side / longer)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


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


def _level(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 255:
        raise ValueError(f"background of {value!r}, expected levels from 0 to 255")
    return value

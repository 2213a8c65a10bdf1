"""Which files are images: what Pillow decodes by itself, and what never counts as one."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

# By Pillow's names. Those are left out that it hands to another program (EPS: Ghostscript), that it
# has no decoder of its own for (BUFR, GRIB, HDF5, MPEG, WMF), or that are no pictures (FITS).
DECODED = {
    *("AVIF", "BLP", "BMP", "CUR", "DCX", "DDS", "DIB", "FTEX", "GIF", "HEIF", "ICNS", "ICO"),
    *("JPEG", "JPEG2000", "MPO", "MSP", "PCD", "PCX", "PIXAR", "PNG", "PPM", "PSD", "QOI", "SGI"),
    *("SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
}

PLUGINS = ("pillow_heif", "pi_heif")
"""Modules that teach Pillow HEIC, where one is installed."""

SYSTEM_NAMES = {"@eadir", "__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "lost+found"}
"""Files and folders that systems leave beside images, in small letters."""


@cache
def image_formats() -> tuple[str, ...]:
    """The formats that Pillow decodes here, as `Image.open` takes them; by content, not by name."""
    from PIL import Image

    Image.init()
    for plugin in PLUGINS:
        if find_spec(plugin) is not None:
            import_module(plugin).register_heif_opener()
            break
    return tuple(sorted(DECODED & set(Image.OPEN)))


@cache
def image_suffixes() -> tuple[str, ...]:
    """How names of images end here, in small letters: `.heic` where it is decoded."""
    from PIL import Image

    formats = image_formats()
    known = Image.registered_extensions().items()
    return tuple(sorted(suffix for suffix, format in known if format in formats))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's images: `.DS_Store`, `._x.png`, `@eaDir`."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def has_image_name(name: str) -> bool:
    """Whether a file is an image by its name."""
    return not is_hidden(name) and name.lower().endswith(image_suffixes())

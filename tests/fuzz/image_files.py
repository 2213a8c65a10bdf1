"""Damage to images whose other parts stay right: sizes, depths, checksums that fit."""

from __future__ import annotations

import io
import struct
import zlib
from random import Random

from PIL import Image

from tests.fuzz import damage

SIDES = (0, 1, 2, 11, 13, 255, 65_535, 2**20, 2**31 - 1, 2**32 - 1)
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F", "I;16")
FORMATS = ("PNG", "TIFF", "JPEG", "BMP", "WEBP", "GIF", "PPM", "ICO", "TGA", "PCX")


def in_header(rng: Random, content: bytes) -> bytes:
    """Another size in the header; or a whole image of an odd shape, mode or format."""
    if content.startswith(b"\x89PNG") and rng.random() < 0.6:
        return _png(rng, content)
    if rng.random() < 0.3:
        text = f"P{rng.randint(1, 7)} {rng.choice(SIDES)} {rng.choice(SIDES)} {rng.choice(SIDES)}\n"
        return text.encode() + content
    return _odd(rng)


def _png(rng: Random, content: bytes) -> bytes:
    """Sides, depth and kind of a PNG, or another of its chunks, under a checksum that fits."""
    chunks = []
    at = 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunks.append([content[at + 4 : at + 8], content[at + 8 : at + 8 + length]])
        at += 12 + length
    if rng.random() < 0.5:
        width, height = (rng.choice((12, *SIDES)) for _ in range(2))
        depth, kind = rng.choice((1, 2, 4, 8, 16, 3)), rng.choice((0, 2, 3, 4, 6, 1))
        chunks[0][1] = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, rng.choice((0, 1)))
    else:
        chosen = rng.choice(chunks)
        chosen[1] = rng.choice(list(damage.BYTES.values()))(rng, chosen[1]) if chosen[1] else b"x"
    parts = [content[:8]]
    for name, inner in chunks:
        parts += [struct.pack(">I", len(inner)), name, inner]
        parts.append(struct.pack(">I", zlib.crc32(name + inner)))
    return b"".join(parts)


def _odd(rng: Random) -> bytes:
    """A whole image: long and thin, or huge, or of a rare mode."""
    mode = rng.choice(MODES)
    sides = rng.choice(((1, 1), (1, 60_000), (60_000, 1), (3, 30_000), (3000, 3000), (9, 17)))
    made = io.BytesIO()
    try:
        Image.new(mode, sides).save(made, rng.choice(FORMATS))
    except (OSError, ValueError, KeyError, struct.error):
        return mode.encode()
    return made.getvalue()

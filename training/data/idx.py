"""Read IDX files, the format of MNIST and its descendants, gzip-compressed or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from supernet.files import UserError

UINT8 = 0x08  # the only element type that images and labels use


def find_idx(folder: Path, name: str) -> Path | None:
    """Return `folder/name` or `folder/name.gz`, whichever exists."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def read_idx(path: Path) -> np.ndarray:
    """Read a uint8 array of any number of dimensions.

    Raises:
        UserError: the file is missing, truncated, too long, or no IDX file of bytes.
    """
    content = _read_bytes(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UINT8 or not content[3]:
        raise UserError(f"{path}: not an IDX file of bytes (expected it to begin 00 00 08)")
    num_dimensions = content[3]
    offset = 4 + 4 * num_dimensions
    if len(content) < offset:
        raise UserError(f"{path}: truncated inside its header, expected {offset} bytes of it")
    shape = struct.unpack(f">{num_dimensions}I", content[4:offset])
    expected = math.prod(shape)
    if len(content) - offset != expected:
        raise UserError(
            f"{path}: damaged: {len(content) - offset} bytes of data, "
            f"expected {expected} for the shape {shape} in its header"
        )
    return np.frombuffer(content, np.uint8, offset=offset).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                return file.read()
        return path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: damaged gzip file ({error}), expected a whole one") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}), expected a file") from error

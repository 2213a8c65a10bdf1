"""Fashion-MNIST (arXiv 1708.07747): the embedded subset and the full set from where it is found."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import torch

from supernet.files import UserError
from training.data.config import DataConfig, Part
from training.data.image_set import MemoryImageSet
from training.data.squares import squares

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


CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
PREFIXES: dict[Part, str] = {"train": "train", "test": "t10k"}
EMBEDDED_FOLDER = Path(__file__).parent / "embedded" / "fashion_mnist_mini"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DOWNLOADED = Path("FashionMNIST", "raw")  # where torchvision puts the files below its root


def read_mini(config: DataConfig, part: Part) -> MemoryImageSet:
    """Read the embedded subset: 1,000 training and 200 test images of each class."""
    return _read_folder(EMBEDDED_FOLDER, part, config)


def read(config: DataConfig, part: Part) -> MemoryImageSet:
    """Read one part of the full set; looked for in order, and downloaded where it is nowhere.

    Order: `root`, $EVOBIT_DATA/fashion-mnist, $EVOBIT_DATA, the folder of Debian's package
    dataset-fashion-mnist, and what an earlier call downloaded.
    """
    folders = _folders(config)
    for folder in folders:
        for place in (folder, folder / DOWNLOADED):
            if any(find_idx(place, name) for name in _file_names(part)):
                return _read_folder(place, part, config)
    target = next(folder for folder in folders if folder != DEBIAN_FOLDER)
    _download(target, folders)
    return _read_folder(target / DOWNLOADED, part, config)


def _file_names(part: Part) -> tuple[str, str]:
    return f"{PREFIXES[part]}-images-idx3-ubyte", f"{PREFIXES[part]}-labels-idx1-ubyte"


def _folders(config: DataConfig) -> list[Path]:
    folders = [] if config.root is None else [config.root]
    if os.environ.get("EVOBIT_DATA"):
        data = Path(os.environ["EVOBIT_DATA"])
        folders += [data / "fashion-mnist", data]
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return [*folders, DEBIAN_FOLDER, Path(user_cache, "evobit", "fashion-mnist")]


def _read_folder(folder: Path, part: Part, config: DataConfig) -> MemoryImageSet:
    arrays = []
    for name in _file_names(part):
        path = find_idx(folder, name)
        if path is None:
            raise UserError(f"{folder}: {name} is missing, expected it (or {name}.gz) there")
        arrays.append((path, read_idx(path)))
    (image_path, images), (label_path, labels) = arrays
    if images.ndim != 3 or 0 in images.shape:
        raise UserError(f"{image_path}: holds shape {images.shape}, expected (images, rows, cols)")
    if labels.shape != images.shape[:1]:
        raise UserError(
            f"{label_path}: holds shape {labels.shape}, expected {images.shape[:1]}, "
            f"one label for each image of {image_path.name}"
        )
    if labels.max() >= len(CLASS_NAMES):
        raise UserError(f"{label_path}: holds the label {labels.max()}, expected 0 to 9")
    # Copied, because frombuffer's arrays are read-only and torch warns about such memory.
    tensor = torch.from_numpy(images.copy()).unsqueeze(1)  # (N, 1, H, W)
    return MemoryImageSet(
        squares(tensor, config), torch.from_numpy(labels.astype("int64")), CLASS_NAMES
    )


def _download(target: Path, searched: list[Path]) -> None:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(target), download=True)
    except (OSError, RuntimeError) as error:
        places = ", ".join(str(folder) for folder in searched)
        raise UserError(
            f"fashion-mnist: not found in {places}, and downloading it failed ({error}); "
            "expected its four IDX files in data.root"
        ) from error

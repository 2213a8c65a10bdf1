"""CIFAR-10 and CIFAR-100 from their binary version; the pickled version is never read."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from supernet.files import UserError
from training.data.config import DataConfig, Part
from training.data.image_set import MemoryImageSet
from training.data.squares import squares

SIDE = 32
PIXELS = 3 * SIDE * SIDE  # bytes of one image: all red, then all green, then all blue


@dataclass(frozen=True)
class _Format:
    """How one of the two sets lies on disk; a record is its label bytes, then its pixels."""

    name: str
    folder: str
    files: dict[Part, tuple[str, ...]]
    names_file: str
    num_label_bytes: int  # the last one is the label used
    num_classes: int


CIFAR10 = _Format(
    name="cifar10",
    folder="cifar-10-batches-bin",
    files={
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test": ("test_batch.bin",),
    },
    names_file="batches.meta.txt",
    num_label_bytes=1,
    num_classes=10,
)
CIFAR100 = _Format(
    name="cifar100",
    folder="cifar-100-binary",
    files={"train": ("train.bin",), "test": ("test.bin",)},
    names_file="fine_label_names.txt",
    num_label_bytes=2,  # coarse label, fine label
    num_classes=100,
)


def read_cifar10(config: DataConfig, part: Part) -> MemoryImageSet:
    """Read one part of CIFAR-10."""
    return _read(CIFAR10, config, part)


def read_cifar100(config: DataConfig, part: Part) -> MemoryImageSet:
    """Read one part of CIFAR-100 with its 100 fine labels."""
    return _read(CIFAR100, config, part)


def _read(form: _Format, config: DataConfig, part: Part) -> MemoryImageSet:
    folder = _find_folder(form, config)
    class_names = _read_class_names(form, folder / form.names_file)
    parts = [_read_records(form, folder / name) for name in form.files[part]]
    images = torch.from_numpy(np.concatenate([images for images, _ in parts]))
    labels = torch.from_numpy(np.concatenate([labels for _, labels in parts]))
    return MemoryImageSet(squares(images, config), labels, class_names)


def _find_folder(form: _Format, config: DataConfig) -> Path:
    roots = [] if config.root is None else [config.root]
    if os.environ.get("EVOBIT_DATA"):
        data = Path(os.environ["EVOBIT_DATA"])
        roots += [data / form.name, data]
    folders = [folder for root in roots for folder in (root, root / form.folder)]
    for folder in folders:
        # A folder counts as found by any of its files, so that an incomplete one is named.
        files = [name for names in form.files.values() for name in names]
        if any((folder / name).is_file() for name in files):
            return folder
    searched = ", ".join(map(str, folders)) or "data.root and $EVOBIT_DATA, neither of them set"
    raise UserError(
        f"{form.name}: not found in {searched}; expected {form.files['train'][0]} there: "
        f"the binary version of the set (its archive unpacks to {form.folder}), "
        "the pickled Python version is not read"
    )


def _read_class_names(form: _Format, path: Path) -> tuple[str, ...]:
    try:
        names = tuple(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}), expected the class names") from error
    if len(names) != form.num_classes or len(set(names)) != len(names):
        raise UserError(f"{path}: holds {len(names)} names, expected {form.num_classes} different")
    return names


def _read_records(form: _Format, path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}), expected a file of {form.name}"
        ) from error
    record = form.num_label_bytes + PIXELS
    if content.size == 0 or content.size % record:
        raise UserError(
            f"{path}: damaged: {content.size} bytes, expected a multiple of {record} "
            f"({form.num_label_bytes} of labels + {PIXELS} of pixels an image)"
        )
    records = content.reshape(-1, record)
    labels = records[:, form.num_label_bytes - 1].astype(np.int64)
    if labels.max() >= form.num_classes:
        raise UserError(
            f"{path}: holds the label {labels.max()}, expected 0 to {form.num_classes - 1}"
        )
    return records[:, form.num_label_bytes :].reshape(-1, 3, SIDE, SIDE), labels

"""List the images of a folder of class folders, without opening any of them."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from supernet.files import UserError
from supernet.files.image_formats import has_image_name, is_hidden
from supernet.files.image_listing import (
    check_link,
    composed,
    kind_of,
    list_below,
    say_left_out,
    tell_left_out,
)

NEARLY_PARTS = "train training test testing val valid validate validation eval".split()


@dataclass(frozen=True)
class FileList:
    """Image files below `root`; the first folder of a name is the image's class."""

    root: Path
    names: tuple[str, ...]  # "class/.../file", with forward slashes
    sizes: tuple[int, ...]  # bytes
    class_names: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict, compare=False)
    """How many files beside them are no images, by what their names end with."""

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.names)

    @cached_property
    def labels(self) -> Tensor:
        """Return the class numbers, int64 (N,)."""
        numbers = {
            composed(folder_name(name)): number for number, name in enumerate(self.class_names)
        }
        return torch.tensor(
            [numbers[composed(name.split("/", 1)[0])] for name in self.names]
        ).long()

    def path(self, index: int) -> Path:
        """Return where an image lies."""
        return self.root / self.names[index]

    def subset(self, indices: Tensor) -> "FileList":
        """Return the files at `indices`, in that order."""
        chosen = indices.tolist()
        names = tuple(self.names[index] for index in chosen)
        sizes = tuple(self.sizes[index] for index in chosen)
        return FileList(self.root, names, sizes, self.class_names, self.left_out)

    def digest(self) -> str:
        """Return a SHA-256 of the names and sizes in order; contents are not read."""
        digest = hashlib.sha256()
        for name, size in zip(self.names, self.sizes, strict=True):
            digest.update(f"{name}\t{size}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def num_per_class(self) -> dict[str, int]:
        """Return the number of files of each class, by name."""
        counts = torch.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))


def folder_name(class_name: str) -> str:
    """Return the folder of a class: its name, "-" for each "/" ("T-shirt/top")."""
    return class_name.replace("/", "-")


def list_class_folders(root: Path, class_names: Sequence[str] | None = None) -> FileList:
    """List the images of `root/<class>/`, subfolders included, sorted by name.

    Args:
        root: folder of class folders.
        class_names: the names allowed, in order of their labels; by default all folders, sorted.

    Raises:
        UserError: fewer than two classes, a class without images, or a name not allowed.
    """
    found = _class_folders(root)
    if len(found) < 2:
        holds = f"one class folder ({found[0]})" if found else "no class folder"
        raise UserError(f"{root}: holds {holds}, expected one folder for each of two or more")
    if class_names is not None:
        known = [composed(folder_name(name)) for name in class_names]
        if unknown := sorted(name for name in found if composed(name) not in known):
            raise UserError(
                f"{root / unknown[0]}: not a known class, expected only class folders among "
                f"{', '.join(known[:10])}{', ...' if len(known) > 10 else ''}"
            )
    names: list[str] = []
    sizes: list[int] = []
    left_out = Counter(_in_no_class(root))
    places: dict[str, str] = {}
    for class_name in found:
        other_name = places.setdefault(os.path.realpath(root / class_name), class_name)
        if other_name != class_name:
            raise UserError(
                f"{root / class_name}: is the folder of class '{other_name}' by a link, expected "
                f"one of its own"
            )
        listing = list_below(root / class_name)
        if not listing.files:
            other = f" but for {say_left_out(listing.left_out)}" if listing.left_out else ""
            raise UserError(
                f"{root / class_name}: an empty class folder{other}, expected images (.jpg, .png, "
                f"...) in it"
            )
        names += [f"{class_name}/{name}" for name, _ in listing.files]
        sizes += [size for _, size in listing.files]
        left_out.update(listing.left_out)
    tell_left_out(root, left_out)
    allowed = tuple(map(composed, found)) if class_names is None else tuple(class_names)
    return FileList(root, tuple(names), tuple(sizes), allowed, left_out)


def list_parts(root: Path) -> dict[str, FileList]:
    """List an image folder by parts.

    Returns:
        "train" and "test" for the ImageNet layout (root/train beside root/test or root/val; where
        both are there "test" is root/test, and root/val is not used), "all" for root/train alone
        and for a plain folder of class folders.
    """
    _check_part_names(root)
    if not (root / "train").is_dir():
        return {"all": list_class_folders(root)}
    train = list_class_folders(root / "train")
    test, val = root / "test", root / "val"
    # ImageNet's test has no labels and so no class folders: there val takes its place.
    if test.is_dir() and (_class_folders(test) or not val.is_dir()):
        return {"train": train, "test": _test_part(test, train)}
    if val.is_dir():
        return {"train": train, "test": _test_part(val, train)}
    return {"all": train}


def _check_part_names(root: Path) -> None:
    """Refuse folders that hold classes and are named nearly as a part: they would be classes."""
    parts = ("train", "test", "val")
    for name in _class_folders(root):
        if name not in parts and name.lower() in NEARLY_PARTS and _class_folders(root / name):
            raise UserError(
                f"{root / name}: holds folders, and would be one class as it is named; expected "
                f"{root}/train beside test or val, or a folder for each class"
            )


def _test_part(root: Path, train: FileList) -> FileList:
    files = list_class_folders(root, train.class_names)
    if absent := [name for name, count in files.num_per_class().items() if count == 0]:
        raise UserError(
            f"{root}: no folder for class '{absent[0]}', which {train.root} has; expected every "
            "class in both"
        )
    return files


def _in_no_class(root: Path) -> Iterator[str]:
    """What kinds of file lie beside the class folders, an entry a file.

    Raises:
        UserError: a link that leads nowhere, which may have been a class.
    """
    for entry in _entries(root):
        check_link(entry)
        if not entry.is_dir():
            yield kind_of(entry.name) + " in no class folder" * has_image_name(entry.name)


def _class_folders(root: Path) -> list[str]:
    return [one.name for one in _entries(root) if one.is_dir() and not is_hidden(one.name)]


def _entries(root: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"{root}: cannot be read ({error.strerror}), expected a folder of class folders"
        ) from error

"""List the images of a folder of class folders, without opening any of them."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from supernet.files.names import check_names

TRAIN, SEARCH, TEST, UNUSED = "train", "search", "test", "unused"
PART_NAMES = {
    TRAIN: ("train", "training"),
    SEARCH: ("val", "valid", "validate", "validation", "dev", "eval"),
    TEST: ("test", "testing"),
}
"""What the folders of an image folder's parts are named, in capitals too."""


@dataclass(frozen=True)
class FileList:
    """Image files below `root`; the first folder of a name is the image's class."""

    root: Path
    names: tuple[str, ...]  # "class/.../file", with forward slashes
    sizes: tuple[int, ...]  # bytes
    class_names: tuple[str, ...]
    given_labels: tuple[int, ...] | None = None
    """The class numbers where the names do not begin with the class."""
    num_search: int = 0
    """How many of the last files are the search split that the data set itself has."""
    folder: str = field(default="", compare=False)
    """Where they lie in the data set, to be named: "test/"; "" where `root` is all of it."""
    roles: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Of training images: which of the data set's own parts is used as what, `{"test": "val/"}`."""

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.names)

    @cached_property
    def labels(self) -> Tensor:
        """Return the class numbers, int64 (N,)."""
        if self.given_labels is not None:
            return torch.tensor(self.given_labels).long()
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
        given = self.given_labels
        labels = None if given is None else tuple(given[index] for index in chosen)
        return replace(self, names=names, sizes=sizes, given_labels=labels, num_search=0)

    def entries(self) -> list[tuple[str, int] | tuple[str, int, str]]:
        """Of each file its place in the data set and its bytes; its class, where that is given."""
        names = [self.folder + name for name in self.names]
        if self.given_labels is None:
            return list(zip(names, self.sizes, strict=True))
        classes = (self.class_names[label] for label in self.given_labels)
        return list(zip(names, self.sizes, classes, strict=True))

    def digest(self) -> str:
        """Return a SHA-256 of the names and sizes in order; contents are not read.

        Of the labels too, where they are given and not in the names.
        """
        digest = hashlib.sha256()
        labels = ("",) * len(self) if self.given_labels is None else self.given_labels
        for name, size, label in zip(self.names, self.sizes, labels, strict=True):
            line = f"{name}\t{size}\n" if label == "" else f"{name}\t{size}\t{label}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
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
    check_names(found, f"{root}: folder")
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
    return FileList(root, tuple(names), tuple(sizes), allowed)


def list_parts(root: Path, *, has_search: bool = True) -> dict[str, FileList]:
    """List an image folder by parts.

    Without `has_search` images for validation beside a test part are not used, as runs did that
    were made before there was a `view_rule`.

    Returns:
        "train" and "test" where there are folders of parts (`PART_NAMES`) that hold class folders;
        with all three of them the last `num_search` files of "train" are the search split. Where
        there is no folder for the test, the one that is named for validation is the test part.
        "all" for a folder of training images alone and for a plain folder of class folders.

    Raises:
        UserError: a part without its classes or its training images, or with two folders.
    """
    folders = _part_folders(root)
    if TRAIN not in folders:
        return {"all": list_class_folders(root)}
    if TEST in folders and not has_search:
        folders.pop(SEARCH, None)
    parts = {part: _part(root, name) for part, name in folders.items()}
    called = {part: f"{name}/" for part, name in folders.items()}
    if unused := [f"{name}/" for name in _class_folders(root) if name not in folders.values()]:
        called[UNUSED] = ", ".join(unused)
    return with_roles(root, parts, called)


def with_roles(
    root: Path, parts: Mapping[str, FileList], called: Mapping[str, str]
) -> dict[str, FileList]:
    """The parts of a data set as training uses them; see `list_parts`.

    `called`: what the data set calls each part.

    Raises:
        UserError: a part that lacks a class of the training images.
    """
    train = parts[TRAIN]
    others = {part: _with_classes_of(train, files) for part, files in parts.items()}
    roles = dict(called)
    if TEST not in others and SEARCH in others:
        others[TEST], roles[TEST] = others.pop(SEARCH), roles.pop(SEARCH)
    if TEST not in others:
        return {"all": replace(train, roles=roles)}
    if SEARCH not in others:
        return {TRAIN: replace(train, roles=roles), TEST: others[TEST]}
    search = others[SEARCH]
    joined = FileList(
        root,
        tuple(one.folder + name for one in (train, search) for name in one.names),
        (*train.sizes, *search.sizes),
        train.class_names,
        tuple(torch.cat([train.labels, search.labels]).tolist()),
        num_search=len(search),
        roles=roles,
    )
    return {TRAIN: joined, TEST: others[TEST]}


def _part_folders(root: Path) -> dict[str, str]:
    """The name of each part's folder. Only what holds folders is a part: a class may be so named.

    Raises:
        UserError: two folders of one part, or a part beside no training images.
    """
    found = _class_folders(root)
    part_of = {name: part for part, names in PART_NAMES.items() for name in names}
    named = {name: part_of[name.lower()] for name in found if name.lower() in part_of}
    holding = {name: part for name, part in named.items() if _class_folders(root / name)}
    folders: dict[str, str] = {}
    for name, part in holding.items():
        if part in folders:
            raise UserError(
                f"{root}: {folders[part]}/ and {name}/ are names of the same part ({part}); "
                f"expected one of them"
            )
        folders[part] = name
    if TRAIN in folders:
        # A test without classes, as ImageNet's, is none; but it is not forgotten in silence.
        flat = [name for name, part in named.items() if part == TEST and name not in holding]
        if flat and not {SEARCH, TEST} & set(folders):
            list_class_folders(root / flat[0])
        return folders
    if holding:
        name = min(holding)
        raise UserError(
            f"{root / name}: holds folders, and would be one class as it is named; expected "
            f"{root}/train beside it, or a folder for each class"
        )
    if "train" in named and len(named) == len(found):
        list_class_folders(root / "train")  # which has none, and says so
    return {}


def _part(root: Path, name: str) -> FileList:
    return replace(list_class_folders(root / name), folder=f"{name}/")


def _with_classes_of(train: FileList, files: FileList) -> FileList:
    """`files` with the class numbers of the training images, all of whose classes they have."""
    known = train.class_names
    if unknown := [name for name in files.class_names if name not in known]:
        raise UserError(
            f"{files.root / folder_name(unknown[0])}: not a known class, expected only class "
            f"folders among {', '.join(known[:10])}{', ...' if len(known) > 10 else ''}"
        )
    if absent := [name for name in known if name not in files.class_names]:
        raise UserError(
            f"{files.root}: no folder for class '{absent[0]}', which {train.root} has; expected "
            "every class in both"
        )
    return replace(files, class_names=train.class_names)


def say_roles(roles: Mapping[str, str]) -> str:
    """What is used as what, in words."""
    if SEARCH in roles:
        said = f"{roles[TRAIN]} is trained on, {roles[SEARCH]} is the search split, "
    elif TEST in roles:
        said = f"{roles[TRAIN]} is trained on but for the search split drawn from it by seed, "
    else:
        said = f"{roles[TRAIN]} is trained on but for the search and test splits drawn from it"
    said += f"{roles[TEST]} is the test split" if TEST in roles else ""
    if SEARCH not in roles and roles.get(TEST, "").rstrip("/").lower() in PART_NAMES[SEARCH]:
        said += " (there is no other with classes)"
    return said + (f"; not used: {roles[UNUSED]}" if UNUSED in roles else "")


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

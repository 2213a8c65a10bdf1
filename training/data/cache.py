"""A folder's images resized once to uint8 files that are opened as memory maps."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from supernet.files import UserError, atomic_write, check_header, read_json, remove_abandoned
from supernet.files.image_view import View
from training.data.decoding.folder_images import FolderImageSet
from training.data.file_list import SEARCH, TEST, TRAIN, FileList, list_parts
from training.data.image_list import read_list
from training.data.image_set import READ_AT_ONCE, MemoryImageSet

FORMAT = "evobit/image-cache"
VERSION = 1
HEADER = "cache.json"
CHANNELS_BEFORE = 3
PIXEL_FILES = "*_*_" + 16 * "[0-9a-f]" + ".u8"
"""Part, size and the begin of a hash."""


class CachedImageSet(MemoryImageSet):
    """Images of a memory map that keep the identity of the files they were made from."""

    def __init__(self, images: np.ndarray, files: FileList, view: View) -> None:
        """Take the map, uint8 (N, C, S, S), its files in the same order, and what it shows."""
        super().__init__(images, files.labels, files.class_names)
        self._files, self.view = files, view

    @property
    def files(self) -> FileList:
        """What the images were made from, in their order."""
        is_whole = torch.equal(self._rows, torch.arange(len(self._files)))
        return self._files if is_whole else self._files.subset(self._rows)

    def fingerprint(self) -> str:
        """Return what the folder's own image set would: hashing all pixels takes too long."""
        return self.files.digest()


@dataclass(frozen=True)
class ImageCache:
    """What the header of a cache says; pixels are opened by part."""

    folder: Path
    root: Path  # of the folder it was made of
    view: View  # what its images were made for
    parts: dict[str, FileList]  # as `list_parts` returned them
    pixel_files: dict[str, str]  # name of each part's uint8 file

    @classmethod
    def open(cls, folder: Path) -> "ImageCache":
        """Read the header of a cache.

        Raises:
            UserError: there is no cache, or it is damaged or of another version.
        """
        path = folder / HEADER
        header = check_header(
            read_json(path, what="image cache"), path, format=FORMAT, version=VERSION
        )
        try:
            root, parts = Path(header["root"]), header["parts"]
            lists = {name: _file_list(root, part) for name, part in parts.items()}
            pixel_files = {name: _inside(str(part["pixel_file"])) for name, part in parts.items()}
            cache = cls(folder, root, _view(header), lists, pixel_files)
            intact = all(lists[name].digest() == parts[name]["sha256"] for name in parts)
            if set(parts) not in ({"all"}, {TRAIN, TEST}):
                raise ValueError(f"parts {sorted(parts)}")
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"{path}: damaged ({error!r}), expected a cache's header") from error
        if not intact:
            raise UserError(f"{path}: damaged: its file list does not match its own hash")
        return cache

    def image_set(self, name: str) -> CachedImageSet:
        """Open one part as a read-only memory map."""
        path = self.folder / self.pixel_files[name]
        files = self.parts[name]
        shape = (len(files), self.view.channels, self.view.stored, self.view.stored)
        expected = int(np.prod(shape, dtype=np.int64))
        found = path.stat().st_size if path.is_file() else None
        if found != expected:
            state = "is missing" if found is None else f"has {found} bytes"
            raise UserError(f"{path}: {state}, expected {expected} bytes: build the cache again")
        return CachedImageSet(np.memmap(path, np.uint8, mode="r", shape=shape), files, self.view)


def build_cache(
    root: Path,
    output: Path,
    view: View,
    num_workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    labels: Path | None = None,
) -> Path:
    """Decode every image below `root` once and write a cache into the folder `output`.

    An older cache there stays usable until the new one is complete.

    Args:
        root: an image folder in any layout.
        output: folder to write; made if missing.
        view: what networks are to see of the images; their squares are kept.
        num_workers: decoding processes.
        progress: called with (images done, images in all) as the work goes on.
        labels: a CSV file that lists images below `root`, which are then all.

    Returns:
        The header's path.

    Raises:
        UserError: the folder is no image folder, or an image cannot be decoded.
    """
    parts = list_parts(root) if labels is None else read_list(labels, root)
    if output.is_dir():
        # Of a data set's size, and named after other images perhaps.
        remove_abandoned(output, PIXEL_FILES)
    total, done = sum(map(len, parts.values())), 0
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "size": view.stored,
        "channels": view.channels,
        "view": view.describe(),
        "root": str(root.resolve()),
        "parts": {},
    }
    for name, files in parts.items():
        # Named by content, so that the old header never points at new pixels.
        pixel_file = f"{name}_{view.stored}_{_digest(view, files)[:16]}.u8"
        images = FolderImageSet(files, view, num_workers)
        with atomic_write(output / pixel_file) as file:
            for batch, _ in images.batches(torch.arange(len(images)), READ_AT_ONCE):
                file.write(batch.numpy().tobytes())
                done += len(batch)
                if progress is not None:
                    progress(done, total)
        header["parts"][name] = {
            "pixel_file": pixel_file,
            "class_names": files.class_names,
            "sha256": files.digest(),
            "names": files.names,
            "sizes": files.sizes,
            "folder": files.folder,
            "labels": files.given_labels,
            "num_search": files.num_search,
            "roles": files.roles,
        }
    # Last: with the header's rename the new cache is complete.
    with atomic_write(output / HEADER) as file:
        file.write(json.dumps(header).encode())
    _remove_old_pixels(output, {part["pixel_file"] for part in header["parts"].values()})
    return output / HEADER


def _remove_old_pixels(folder: Path, used: set[str]) -> None:
    for path in folder.glob(PIXEL_FILES):
        if path.name not in used:
            path.unlink()


def _digest(view: View, files: FileList) -> str:
    return hashlib.sha256(f"{view.describe()} {files.digest()}".encode()).hexdigest()


def _view(header: dict[str, Any]) -> View:
    """Of a header, also of one that was written before headers held it.

    Those caches dropped what was transparent.
    """
    if (described := header.get("view")) is not None:
        return View.from_description(described)
    size = int(header["size"])
    return View(size, size, CHANNELS_BEFORE, background=None)


def _inside(name: str) -> str:
    """The name of a file of the cache's own folder."""
    if Path(name).name != name or not name.endswith(".u8"):
        raise ValueError(f"pixel_file is {name!r}, expected the name of a .u8 file")
    return name


def _file_list(root: Path, part: dict[str, Any]) -> FileList:
    names, sizes, classes = part["names"], part["sizes"], part["class_names"]
    # Older caches have none of these.
    labels, num_search = part.get("labels"), part.get("num_search", 0)
    folder, roles = part.get("folder", ""), part.get("roles", {})
    if len(names) != len(sizes) or len(names) != len(names if labels is None else labels):
        raise ValueError(f"{len(names)} names but {len(sizes)} sizes, or not as many labels")
    if not all(type(size) is int for size in sizes):
        raise TypeError("sizes: expected numbers of bytes")
    if labels is not None and not all(type(n) is int and 0 <= n < len(classes) for n in labels):
        raise ValueError(f"labels other than 0 to {len(classes) - 1}")
    if type(num_search) is not int or not 0 <= num_search < max(len(names), 1):
        raise ValueError(f"num_search {num_search!r} of {len(names)} images")
    if not all(isinstance(text, str) for text in (folder, *names, *classes, *roles.values())):
        raise TypeError("folder, names, class_names and roles: expected text")
    if (roles and TRAIN not in roles) or (num_search and SEARCH not in roles):
        raise ValueError(f"roles {roles} of {num_search} images of a search split")
    files = FileList(
        root,
        tuple(names),
        tuple(sizes),
        tuple(classes),
        given_labels=None if labels is None else tuple(labels),
        num_search=num_search,
        folder=folder,
        roles=dict(roles),
    )
    files.labels  # noqa: B018  kept; a KeyError where a name begins with no class
    return files

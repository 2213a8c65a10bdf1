"""The images below a folder, by one rule for training, scoring, caching and predicting."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from supernet.files.image_formats import has_image_name, is_hidden
from supernet.files.telling import tell_once
from supernet.files.user_error import UserError

OTHER = "hidden or of the system"
"""The kind of what is left out whatever its name ends with."""


@dataclass(frozen=True)
class Listing:
    """Images by name below a folder, with forward slashes, and their bytes, in order of names.

    `left_out`: how many files are no images, by what their names end with.
    """

    files: tuple[tuple[str, int], ...]
    left_out: Mapping[str, int]


def list_below(folder: Path) -> Listing:
    """All images below `folder`. Links are followed, each folder once.

    Raises:
        UserError: a folder that cannot be read, or a link that leads nowhere.
    """
    left_out: Counter[str] = Counter()
    files = list(_walk(folder, "", {os.path.realpath(folder)}, left_out))
    return Listing(tuple(sorted(files, key=lambda file: composed(file[0]))), dict(left_out))


def _walk(
    folder: Path, prefix: str, seen: set[str], left_out: Counter[str]
) -> Iterator[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from error
    for entry in found:
        check_link(entry)
        if is_hidden(entry.name):
            if entry.is_file(follow_symlinks=False):
                left_out[OTHER] += 1
            continue
        if entry.is_dir():
            place = os.path.realpath(entry.path)
            if place not in seen:
                seen.add(place)
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", seen, left_out)
        elif has_image_name(entry.name) and entry.is_file():
            yield prefix + entry.name, entry.stat().st_size
        else:
            left_out[kind_of(entry.name)] += 1


def check_link(entry: os.DirEntry[str]) -> None:
    """Demand that an entry of a folder, unless it is hidden, is no link that leads nowhere.

    Raises:
        UserError: it is.
    """
    if entry.is_symlink() and not is_hidden(entry.name) and not os.path.exists(entry.path):
        raise UserError(f"{entry.path}: a link to {os.readlink(entry.path)}, which is not there")


def kind_of(name: str) -> str:
    """What a file is that is left out, by its name."""
    return OTHER if is_hidden(name) else PurePath(name).suffix.lower() or "no suffix"


def composed(name: str) -> str:
    """A name with its accents composed (NFC), as one is the same however a system wrote it."""
    return unicodedata.normalize("NFC", name)


def tell_left_out(folder: Path, left_out: Mapping[str, int]) -> None:
    """Say once what below `folder` is no image, so that nothing is missed in silence."""
    if left_out:
        tell_once(f"{folder}: left out, as no images: {say_left_out(left_out)}")


def say_left_out(left_out: Mapping[str, int]) -> str:
    """In words: `3 .heic, 1 .txt`."""
    ordered = sorted(left_out.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{number:,} {kind}" for kind, number in ordered)

"""The same picture in two splits: found by a hash of the pixels that a network is shown.

Files of other bytes may hold the same pixels, so images are decoded. Of a set of files only those
are whose width and height, which the head of the file tells, occur in the other split too.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from supernet.files.image_formats import image_formats
from supernet.files.telling import is_first_process, tell_once
from training.data.decoding.folder_images import FolderImageSet
from training.data.file_list import FileList
from training.data.image_set import READ_AT_ONCE, ImageSet
from training.data.training_data import TrainingData, files_of

MOST_FILES = 100_000
MOST_BYTES = 2**31
"""Files looked at, and bytes of pixels hashed, unless all are asked for (--strict)."""

MOST_NAMED = 3


@dataclass(frozen=True)
class SamePictures:
    """Pairs of images with the same pixels: each of `asked` once, and the first such of `known`."""

    asked: str
    known: str
    pairs: tuple[tuple[str, str], ...]
    num_asked: int

    def __str__(self) -> str:
        shown = ", ".join(f"{one} = {other}" for one, other in self.pairs[:MOST_NAMED])
        more = ", ..." if len(self.pairs) > MOST_NAMED else ""
        are = "is" if len(self.pairs) == 1 else "are"
        return (
            f"{len(self.pairs):,} of the {self.num_asked:,} images of {self.asked} {are} also in "
            f"{self.known} ({shown}{more})"
        )


def same_pictures(
    asked: ImageSet, known: ImageSet, names: tuple[str, str], *, all_of_them: bool = False
) -> SamePictures | None:
    """Which images of `asked` are in `known`; None where they are too many, or of two sizes.

    Cost: the head of every file, and each image whose width and height occur on both sides decoded
    once; of sets in memory a hash of each image. `all_of_them`: however many there are.

    Raises:
        UserError: an image that cannot be decoded.
    """
    if (asked.size, asked.channels) != (known.size, known.channels):
        return None
    lists = [images.files for images in (asked, known) if isinstance(images, FolderImageSet)]
    if not all_of_them and sum(map(len, lists)) > MOST_FILES:
        return None
    rows = [torch.arange(len(asked)), torch.arange(len(known))]
    if len(lists) == 2:
        rows = _of_common_shape(*lists)
    bytes_an_image = asked.channels * asked.size**2
    if not all_of_them and bytes_an_image * sum(map(len, rows)) > MOST_BYTES:
        return None
    first: dict[bytes, int] = {}
    wanted = dict(_digests(asked, rows[0]))
    there = set(wanted.values())
    for index, digest in _digests(known, rows[1]):
        if digest in there:
            first.setdefault(digest, index)
    pairs = tuple(
        (_name(asked, index), _name(known, first[digest]))
        for index, digest in wanted.items()
        if digest in first
    )
    return SamePictures(*names, pairs, len(asked))


def merged(found: Sequence[SamePictures | None]) -> SamePictures | None:
    """Of the same images asked for in several sets; None where one could not be looked at."""
    whole = [one for one in found if one is not None]
    if not whole or len(whole) < len(found):
        return None
    first: dict[str, str] = {}
    for name, other in (pair for one in whole for pair in one.pairs):
        first.setdefault(name, other)
    return replace(whole[0], pairs=tuple(first.items()))


def say_same_in_search(data: TrainingData) -> None:
    """Say how many images of the search split are trained on too, where that is looked for."""
    if not is_first_process():
        return
    found = same_pictures(data.search, data.train, ("the search split", "the train split"))
    if found is not None and found.pairs:
        tell_once(f"{data.config.name}: {found}: search scores are too good by them")


def _digests(images: ImageSet, rows: Tensor) -> Iterator[tuple[int, bytes]]:
    numbers = iter(rows.tolist())
    for batch, _ in images.batches(rows, READ_AT_ONCE):
        for picture in batch.numpy():
            yield next(numbers), hashlib.blake2b(picture.tobytes(), digest_size=16).digest()


def _name(images: ImageSet, index: int) -> str:
    files = files_of(images)
    return f"image {index}" if files is None else files.folder + files.names[index]


def _of_common_shape(asked: FileList, known: FileList) -> list[Tensor]:
    """Which files of each list have a width and height that the other has too."""
    shapes = [[_shape(files.path(i)) for i in range(len(files))] for files in (asked, known)]
    common = set(shapes[0]) & set(shapes[1])
    either: list[Sequence[tuple[int, ...]]] = [one for one in shapes]
    return [
        torch.tensor([i for i, shape in enumerate(one) if not shape or shape in common]).long()
        for one in either
    ]


def _shape(path: Path) -> tuple[int, ...]:
    """Width and height, the smaller first, as an image may lie on its side; () if unknown."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=image_formats()) as image:
                return tuple(sorted(image.size))
    except Exception:  # each of PIL's decoders has its own; who decodes the image says what it is
        return ()

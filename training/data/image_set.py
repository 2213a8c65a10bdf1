"""Labelled images of one size that are read by index: in memory, or decoded from files."""

import hashlib
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from supernet.files import UserError
from training.data.decoding import decode_image

if TYPE_CHECKING:
    from training.data.file_list import FileList

READ_AT_ONCE = 256  # images a batch where the caller does not say
MOST_ERRORS = 10  # images that cannot be decoded, told of at once
LOOKING_ON_S = 5.0  # for more of them, once one is found
MAX_RESIDENT_BYTES = 2**31  # images up to 2 GiB are copied to a GPU once, as a whole


class ImageSet(ABC):
    """Labelled uint8 images (channels, size, size), numbered from 0."""

    labels: Tensor  # int64 (N,), on the CPU
    class_names: tuple[str, ...]  # class_names[label]
    channels: int
    size: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @abstractmethod
    def subset(self, indices: Tensor) -> "ImageSet":
        """Return the images at `indices` (int64, repetition allowed), numbered in that order.

        No pixel is read or copied.
        """

    @abstractmethod
    def batches(
        self, order: Tensor, batch_size: int, device: torch.device | str = "cpu"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images at `order` (int64) in exactly that order, `batch_size` at a time.

        Each batch is uint8 images (B, C, S, S) and int64 labels (B,) on `device`; the last one
        holds what is left. No random generator is read, global ones included.

        Raises:
            UserError: images cannot be decoded; it names up to 10.
        """

    def read(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images at `order` and their labels in memory, as one batch on the CPU."""
        batches = list(self.batches(order, READ_AT_ONCE))
        if not batches:
            empty = torch.empty(0, self.channels, self.size, self.size, dtype=torch.uint8)
            return empty, self.labels[:0]
        return torch.cat([images for images, _ in batches]), self.labels[order]

    def fingerprint(self) -> str:
        """Return a SHA-256 that changes with the images, the labels or their order."""
        digest = hashlib.sha256()
        for images, labels in self.batches(torch.arange(len(self)), READ_AT_ONCE):
            digest.update(images.numpy().tobytes())
            digest.update(labels.numpy().tobytes())
        return digest.hexdigest()

    def num_per_class(self) -> dict[str, int]:
        """Return the number of images of each class, by name."""
        counts = torch.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))


@dataclass
class _Pixels:
    """All images of a part, shared by its subsets, and one copy on each GPU that asked for it."""

    images: Tensor | np.ndarray  # uint8 (N, C, S, S); an array where it is a memory map
    copies: dict[torch.device, Tensor] = field(default_factory=dict)

    def gather(self, indices: Tensor, device: torch.device) -> Tensor:
        """Return the images at `indices` on `device`."""
        if isinstance(self.images, np.ndarray):
            # The map is read-only and larger than memory perhaps: only these rows are read.
            return torch.from_numpy(self.images[indices.numpy()]).to(device)
        if device.type == "cpu":
            return self.images[indices]
        if self.images.nbytes > MAX_RESIDENT_BYTES:
            return self.images[indices].to(device)
        if device not in self.copies:
            self.copies[device] = self.images.to(device)
        return self.copies[device][indices.to(device)]


class MemoryImageSet(ImageSet):
    """Images held in memory or in a memory map; subsets share them."""

    def __init__(
        self, images: Tensor | np.ndarray, labels: Tensor, class_names: tuple[str, ...]
    ) -> None:
        """Take uint8 images (N, C, S, S) and int64 labels (N,), without copying either."""
        assert images.ndim == 4 and images.shape[2] == images.shape[3], images.shape
        assert len(images) == len(labels), (len(images), len(labels))
        self.labels = labels
        self.class_names = class_names
        self.channels = images.shape[1]
        self.size = images.shape[2]
        self._pixels = _Pixels(images)
        self._rows = torch.arange(len(labels))  # where each image lies among the pixels

    def subset(self, indices: Tensor) -> "MemoryImageSet":
        """See `ImageSet.subset`."""
        chosen = object.__new__(type(self))
        chosen.__dict__.update(self.__dict__)
        chosen.labels = self.labels[indices]
        chosen._rows = self._rows[indices]
        return chosen

    def batches(
        self, order: Tensor, batch_size: int, device: torch.device | str = "cpu"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `ImageSet.batches`."""
        device = torch.device(device)
        for indices in order.split(batch_size) if len(order) else ():
            images = self._pixels.gather(self._rows[indices], device)
            yield images, self.labels[indices].to(device)


class FolderImageSet(ImageSet):
    """Images decoded from files whenever they are read, in worker processes."""

    def __init__(self, files: "FileList", size: int, channels: int, num_workers: int) -> None:
        """Decode `files` to (channels, size, size); 0 workers decode in this process."""
        self.files = files
        self.labels = files.labels
        self.class_names = files.class_names
        self.channels = channels
        self.size = size
        self.num_workers = num_workers

    def subset(self, indices: Tensor) -> "FolderImageSet":
        """See `ImageSet.subset`."""
        files = self.files.subset(indices)
        return FolderImageSet(files, self.size, self.channels, self.num_workers)

    def batches(
        self, order: Tensor, batch_size: int, device: torch.device | str = "cpu"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `ImageSet.batches`."""
        from torch.utils.data import DataLoader

        batches = list(order.split(batch_size)) if len(order) else []
        loader: DataLoader[Tensor | list[str]] = DataLoader(
            _Decoder(self.files, self.size, self.channels),  # type: ignore[arg-type]
            batch_sampler=[batch.tolist() for batch in batches],
            num_workers=min(self.num_workers, len(batches)),
            collate_fn=_stack_or_errors,
            # The loader draws a seed for its workers, which must not move the global generator.
            generator=torch.Generator(),
        )
        with warnings.catch_warnings():
            # Python 3.12 warns about forking a process with threads. Workers only run PIL.
            warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
            decoded = iter(loader)
        try:
            for batch in batches:
                images = next(decoded)
                if isinstance(images, list):
                    raise UserError(_all_errors(images, decoded))
                yield images.to(device), self.labels[batch].to(device)
        finally:
            # Ends the workers now. An error's traceback would keep them until the garbage
            # collector comes, and then their queues are closed too early: 5 s of waiting.
            del decoded

    def fingerprint(self) -> str:
        """Return a SHA-256 of the relative file names, which hold the class, and file sizes."""
        return self.files.digest()


class _Decoder:
    """The data set that runs in workers; an error is returned as its text.

    An exception raised in a worker arrives wrapped in the worker's traceback.
    """

    def __init__(self, files: "FileList", size: int, channels: int) -> None:
        self.files, self.size, self.channels = files, size, channels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            return decode_image(self.files.path(index), self.size, self.channels)
        except UserError as error:
            return str(error)


def _stack_or_errors(images: list[Tensor | str]) -> Tensor | list[str]:
    errors = [image for image in images if isinstance(image, str)]
    return errors or torch.stack([image for image in images if isinstance(image, Tensor)])


def _all_errors(errors: list[str], rest: Iterator[Tensor | list[str]]) -> str:
    """What else cannot be decoded, too, so that one look mends a folder; but not all day."""
    until = time.monotonic() + LOOKING_ON_S
    while len(errors) < MOST_ERRORS and time.monotonic() < until:
        if (more := next(rest, None)) is None:
            return "; ".join(errors)
        errors = errors + more if isinstance(more, list) else errors
    return "; ".join([*errors[:MOST_ERRORS], "perhaps more"])

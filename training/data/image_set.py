"""Labelled images of one size that are read by index."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

READ_AT_ONCE = 256  # images a batch where the caller does not say
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
    def subset(self, indices: Tensor) -> ImageSet:
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

    def subset(self, indices: Tensor) -> MemoryImageSet:
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

"""Images of any size as the squares that a config's view keeps, in memory or as they are read."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from supernet.files.image_view import View, border, needs_only_border
from training.data.config import BEFORE, DataConfig
from training.data.image_set import ImageSet

RESIZED_AT_ONCE = 1024  # images; bounds the float copy that resizing makes


def squares(images: Tensor, config: DataConfig) -> Tensor:
    """Images in memory, uint8 (N, 1 or 3, H, W), as the same images of a folder are kept."""
    if config.view_rule == BEFORE:
        return _squares_before(images, config.image_size)
    return _squares(images, config.view(config.channels or images.shape[1]))


def _squares(images: Tensor, view: View) -> Tensor:
    channels, height, width = images.shape[1:]
    if channels == view.channels and needs_only_border(height, width, view.stored):
        return _bordered(images, view.stored)
    if not len(images):
        return images.new_empty(0, view.channels, view.stored, view.stored)
    levels = images.numpy()
    return torch.stack([torch.from_numpy(view.square_of_levels(one)) for one in levels])


class SquaredImageSet(ImageSet):
    """Images of a user's own set, each made square when it is read."""

    def __init__(self, images: ImageSet, view: View) -> None:
        """Take a set whose images have another size, or another number of channels."""
        self._images, self._view = images, view
        self.labels, self.class_names = images.labels, images.class_names
        self.channels, self.size = view.channels, view.stored

    def subset(self, indices: Tensor) -> SquaredImageSet:
        """See `ImageSet.subset`."""
        return SquaredImageSet(self._images.subset(indices), self._view)

    def batches(
        self, order: Tensor, batch_size: int, device: torch.device | str = "cpu"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `ImageSet.batches`."""
        for images, labels in self._images.batches(order, batch_size):
            yield _squares(images, self._view).to(device), labels.to(device)


def squared(images: ImageSet, config: DataConfig) -> ImageSet:
    """A set as it is where its images are kept as `config` says, else each made square."""
    if config.view_rule == BEFORE:
        return images
    view = config.view(config.channels or images.channels)
    fits = (images.channels, images.size) == (view.channels, view.stored)
    return images if fits else SquaredImageSet(images, view)


def _bordered(images: Tensor, size: int) -> Tensor:
    height, width = images.shape[2:]
    if height == width == size:
        return images
    top, left = border(height, width, size)
    return F.pad(images, (left, size - width - left, top, size - height - top))


def _squares_before(images: Tensor, size: int) -> Tensor:
    """Under `view_rule` 1: the whole of an image at the network's own size, resized by torch."""
    height, width = images.shape[2:]
    if height == width == size:
        return images
    if needs_only_border(height, width, size):
        return _bordered(images, size)
    return torch.cat([_resized_before(chunk, size) for chunk in images.split(RESIZED_AT_ONCE)])


def _resized_before(images: Tensor, size: int) -> Tensor:
    height, width = images.shape[2:]
    shorter = min(height, width)
    resized = F.interpolate(
        images.float(),
        size=(round(height * size / shorter), round(width * size / shorter)),
        mode="bilinear",
        antialias=True,
    )
    top, left = (resized.shape[2] - size) // 2, (resized.shape[3] - size) // 2
    cropped = resized[:, :, top : top + size, left : left + size]
    return cropped.round().clamp(0, 255).to(torch.uint8)

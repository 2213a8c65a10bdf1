"""What a network sees of an image: its size, and pixels less a mean over a deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from supernet.files.image_view import MAX_CROPPED_AWAY, middle, usual_stored


@dataclass(frozen=True)
class Normalisation:
    """`size` pixels a side, each channel of pixels in [0, 1] less its `mean`, over its `std`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int

    @property
    def channels(self) -> int:
        """Of the images: each has a mean of its own."""
        return len(self.mean)

    def apply(self, images: Tensor) -> Tensor:
        """What the network sees in evaluation: the centre, normalised; nothing is drawn.

        uint8 (B, C, S, S) -> float32 (B, C, size, size).
        """
        return self.of_levels(centre(images, self.size))

    def of_levels(self, images: Tensor) -> Tensor:
        """Levels 0-255 of (B, C, H, W) as (level/255 - mean) / std, float32."""
        scale = torch.tensor([1 / (255 * value) for value in self.std]).to(images.device)
        shift = torch.tensor([m / s for m, s in zip(self.mean, self.std, strict=True)])
        # Two roundings on every device: a fused multiply-add would make GPUs differ.
        floats = images.to(torch.float32, copy=True)
        return floats.mul_(scale[:, None, None]).sub_(shift.to(images.device)[:, None, None])

    def levels(self, images: Tensor) -> Tensor:
        """Undo `of_levels`: levels 0-255 as uint8; what lies beyond them is clipped."""
        mean, std = _column(self.mean), _column(self.std)
        return ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)

    def into(self, other: Normalisation) -> tuple[Tensor, Tensor]:
        """Factor and shift, (C, 1, 1), that make images normalised so be normalised as `other`.

        x = (p - mean) / std; `other` wants (p - m) / s = x * (std / s) + (mean - m) / s. Grey
        images are repeated for three channels, by the broadcast.
        """
        mean, std, m, s = map(_column, (self.mean, self.std, other.mean, other.std))
        return std / s, (mean - m) / s


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def centre(images: Tensor, size: int) -> Tensor:
    """The levels that a network of `size` pixels sees: uint8 (B, C, S, S) -> (B, C, size, size).

    What is wider than 1.5 x `size` or smaller than it, as only `view_rule` 1 has it, is resized
    first.
    """
    assert images.dtype == torch.uint8, images.dtype
    return middle(shrink(images, size), size)


def shrink(images: Tensor, size: int) -> Tensor:
    """Resize images that are smaller than `size` or so large that a crop would show too little."""
    side, target = images.shape[3], shrunk_side(images.shape[3], size)
    if target == side:
        return images
    floats = F.interpolate(images.float(), (target, target), mode="bilinear", antialias=True)
    return floats.round_().clamp_(0, 255).to(torch.uint8)


def shrunk_side(side: int, size: int) -> int:
    """The side that stored images are resized to before a window of `size` is cut out of them."""
    if size <= side <= MAX_CROPPED_AWAY * size:
        return side
    return usual_stored(size) if side > size else size

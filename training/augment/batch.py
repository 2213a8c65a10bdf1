"""Images and what they show; how two batches become one, labels with them.

The share of a class in a label is the share of the pixels that show it, exactly: it is counted
from what was pasted, not taken from what was drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Batch:
    """Normalised images (B, C, H, W) and their labels.

    `labels`: class numbers (B,), or the share of each class, float32 (B, classes), rows of sum 1.
    """

    images: Tensor
    labels: Tensor

    def at(self, indices: Tensor) -> Batch:
        """The images numbered `indices`, in that order."""
        return Batch(self.images[indices], self.labels[indices])


def paste(own: Batch, donors: Batch, mask: Tensor, num_classes: int) -> Batch:
    """Show `donors` where `mask` is true, bool (H, W) or (B, 1, H, W); both labels are numbers.

    x = mask donor + (1 - mask) own; label = (pasted pixels / H W) donor's + (the rest / H W) own.
    """
    batch, _, height, width = own.images.shape
    pasted = mask.expand(batch, 1, height, width).sum((1, 2, 3))[:, None]  # pixels (B, 1)
    mine, theirs = (F.one_hot(labels, num_classes) for labels in (own.labels, donors.labels))
    # Whole pixels are added up and divided once: where both are of one class its share is 1.
    shares = (mine * (height * width - pasted) + theirs * pasted) / (height * width)
    return Batch(torch.where(mask, donors.images, own.images), shares)


def blend(own: Batch, donors: Batch, share: float, num_classes: int) -> Batch:
    """x = share own + (1 - share) donor for every pixel, and for the labels; both are numbers."""
    # Rounded once and for both, so that the weights in use add up to 1 in float32.
    kept = torch.tensor(share, dtype=torch.float32)
    given = 1 - kept
    mine, theirs = (F.one_hot(labels, num_classes) for labels in (own.labels, donors.labels))
    return Batch(own.images * kept + donors.images * given, mine * kept + theirs * given)

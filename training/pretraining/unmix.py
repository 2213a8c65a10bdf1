"""Un-Mix: mixtures of two images that a contrastive loss takes apart by their shares.

"Un-Mix: Rethinking Image Mixtures for Unsupervised Visual Representation Learning" (Shen et al.,
AAAI 2022, arXiv 2003.05438, versions 2 to 5). Its first version is another algorithm:
`image_mixture`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from training.bounds import MAX_FLOAT, MAX_REPEATS
from training.section import Section

SwavMixtures = Literal["formula", "script"]
"""How swav meets a mixture of share s; (1 - s) weighs the reversed term.

formula: the mixture's scores zm and codes qm are both reversed, (l(rev zm, q2) + l(z2, rev qm)) / 2
as the author writes in issue 7 of the repository (szq0214/Un-Mix); the queue keeps rows of unmixed
views alone. Place i of what is reversed holds the share 1 - s of image i, which is its weight.
script: (l(zm, q2) + l(z2, rev qm)) / 2 as the repository's scripts compute it: codes alone are
reversed, so that l(zm, q2) has weight 1 whatever the share; and a step puts three batches into the
queue, each used by the next: the views, the mixture, the reversed mixture, with second views."""


class Box(NamedTuple):
    """Rows top to bottom - 1 and columns left to right - 1."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def area(self) -> int:
        """Pixels inside."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A batch of mixtures: of image i the share `share`, of image N - 1 - i the rest."""

    images: Tensor
    share: float


def reverse(batch: Tensor) -> Tensor:
    """The batch from its last entry to its first."""
    return batch.flip(0)


def mix_whole(images: Tensor, share: float) -> Tensor:
    """share * x + (1 - share) * reverse(x), for images (N, C, H, W)."""
    return share * images + (1 - share) * reverse(images)


def mix_region(images: Tensor, box: Box) -> Tensor:
    """x with the pixels inside `box` taken from reverse(x)."""
    mixed, (top, left, bottom, right) = images.clone(), box
    mixed[:, :, top:bottom, left:right] = reverse(images)[:, :, top:bottom, left:right]
    return mixed


def cut_box(height: int, width: int, share: float, centre: tuple[int, int]) -> Box:
    """CutMix's box (arXiv 1905.04899) around `centre` (row, column), clipped to the image.

    Its sides are sqrt(1 - share) of the image's, down to whole pixels. An odd side is cut to the
    even number below: int(32 sqrt(0.5)) = 22 reaches 11 to both sides, and so does 23.
    """
    cut = math.sqrt(1 - share)
    half_height, half_width = int(height * cut) // 2, int(width * cut) // 2
    row, column = centre
    return Box(
        max(row - half_height, 0),
        max(column - half_width, 0),
        min(row + half_height, height),
        min(column + half_width, width),
    )


def draw_box(height: int, width: int, share: float, rng: Random) -> Box:
    """`cut_box` around a pixel drawn uniformly."""
    return cut_box(height, width, share, (rng.randrange(height), rng.randrange(width)))


def draw_mixture(images: Tensor, whole_share: float, beta: float, rng: Random) -> Mixture:
    """Mix a batch in one way with one share, which is drawn from Beta(beta, beta).

    `whole_share` is the chance that whole images are mixed; else it is a region, and the share
    becomes what the box leaves of the image.
    """
    is_whole = rng.random() < whole_share
    share = rng.betavariate(beta, beta)
    if is_whole:
        return Mixture(mix_whole(images, share), share)
    height, width = images.shape[2:]
    box = draw_box(height, width, share, rng)
    return Mixture(mix_region(images, box), 1 - box.area / (height * width))


def loss_of_mixture(loss: Callable[[Tensor], Tensor], features: Tensor, share: float) -> Tensor:
    """share * L(f) + (1 - share) * L(reverse(f)), f the features of a mixture's images.

    The features of the reversed mixture are the reversed features: one forward pass is enough.
    Added to L(f of the unmixed first views), whose weight stays 1, it doubles the whole weight.
    """
    return share * loss(features) + (1 - share) * loss(reverse(features))


class ImageMixtureConfig(Section):
    """Rounds of mixing whole images, then of pasting regions.

    In each round an image is mixed with the given probability, by a share of Beta(beta, beta).
    """

    whole_rounds: int = Field(2, ge=0, le=MAX_REPEATS)
    whole_probability: float = Field(0.1, ge=0, le=1)
    whole_beta: float = Field(1.0, gt=0, le=MAX_FLOAT)
    region_rounds: int = Field(2, ge=0, le=MAX_REPEATS)
    region_probability: float = Field(0.1, ge=0, le=1)
    region_beta: float = Field(1.0, gt=0, le=MAX_FLOAT)


def mix_images(views: Sequence[Tensor], config: ImageMixtureConfig, rng: Random) -> list[Tensor]:
    """Mix some images with others of the batch, every view (N, C, H, W) in the same way.

    A whole-image partner is as it came; a region's partner has been through the whole-image rounds.
    """
    num_images, _, height, width = views[0].shape
    whole = list(views)
    for _ in range(config.whole_rounds):
        shares, partners = [1.0] * num_images, list(range(num_images))
        for image in range(num_images):
            if rng.random() < config.whole_probability:
                partners[image] = rng.randrange(num_images)
                shares[image] = rng.betavariate(config.whole_beta, config.whole_beta)
        kept = torch.tensor(shares).view(-1, 1, 1, 1).to(views[0].device)
        whole = [
            kept * mixed + (1 - kept) * view[partners]
            for mixed, view in zip(whole, views, strict=True)
        ]
    mixed = [view.clone() for view in whole]
    for _ in range(config.region_rounds):
        for image in range(num_images):
            if rng.random() >= config.region_probability:
                continue
            share = rng.betavariate(config.region_beta, config.region_beta)
            partner = rng.randrange(num_images)
            top, left, bottom, right = draw_box(height, width, share, rng)
            for to, source in zip(mixed, whole, strict=True):
                to[image, :, top:bottom, left:right] = source[partner, :, top:bottom, left:right]
    return mixed

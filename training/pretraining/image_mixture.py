"""Image mixtures as an augmentation: the loss knows nothing of them.

"Rethinking Image Mixture for Unsupervised Visual Representation Learning" (Shen et al., March 2020,
arXiv 2003.05438 version 1), as in the authors' repository, folder `IM`.
Differs from it: partners are drawn from the batch, not from the whole data set; pixels are not
darkened (its `decay` is 1). Its region mixtures got their arguments in a wrong order until 2021,
so that they were always on with Beta(0.1, 0.1); here they are as the paper says.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from training.pretraining.unmix import draw_box


class ImageMixtureConfig(BaseModel):
    """Rounds of mixing whole images, then of pasting regions.

    In each round an image is mixed with the given probability, by a share of Beta(beta, beta).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    whole_rounds: int = Field(2, ge=0)
    whole_probability: float = Field(0.1, ge=0, le=1)
    whole_beta: float = Field(1.0, gt=0)
    region_rounds: int = Field(2, ge=0)
    region_probability: float = Field(0.1, ge=0, le=1)
    region_beta: float = Field(1.0, gt=0)


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

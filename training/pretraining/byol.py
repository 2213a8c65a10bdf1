"""BYOL: one view predicts what a slowly moving copy makes of the other; there are no negatives.

"Bootstrap Your Own Latent" (Grill et al., NeurIPS 2020, arXiv 2006.07733). Un-Mix (arXiv
2003.05438) names BYOL and leaves open which branch sees mixtures: here, as in its symmetric MoCo,
mixtures are of the first view, go through the predictor, and meet both views' targets.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from training.pretraining.contrastive import squared_distance
from training.pretraining.encoder import Encoder, Projected, follow, perceptron
from training.pretraining.gathering import gather_rows
from training.pretraining.method import Method
from training.pretraining.unmix import Mixture, loss_of_mixture


class BYOL(Method):
    """|p(x1) - t(x2)|^2 + |p(x2) - t(x1)|^2; the target follows ever more slowly."""

    def __init__(self, encoder: Encoder, *, hidden: int, size: int, momentum: float) -> None:
        super().__init__()
        head = perceptron(encoder.num_features, hidden, size, norm=True)
        predictor = perceptron(size, hidden, size, norm=True)
        self.online = Projected(encoder, head, predictor)
        self.target = copy.deepcopy(Projected(encoder, head)).requires_grad_(False)
        self.momentum = momentum

    def loss(self, first: Tensor, second: Tensor, mixture: Mixture | None) -> Tensor:
        with torch.no_grad():
            of_first = gather_rows(self.target(first))
            of_second = gather_rows(self.target(second))
        loss = squared_distance(gather_rows(self.online(first)), of_second)
        loss = loss + squared_distance(gather_rows(self.online(second)), of_first)
        if mixture is None:
            return loss

        def loss_of(rows: Tensor) -> Tensor:
            return squared_distance(rows, of_second) + squared_distance(rows, of_first)

        mixed = gather_rows(self.online(mixture.images))
        return loss + loss_of_mixture(loss_of, mixed, mixture.share)

    def after_step(self, progress: float) -> None:
        """Move the target by 1 - m, m = 1 - (1 - momentum) (1 + cos(pi progress)) / 2."""
        left = (1 + math.cos(math.pi * progress)) / 2
        follow(self.target, self.online, 1 - (1 - self.momentum) * left)

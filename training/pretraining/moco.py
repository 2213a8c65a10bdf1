"""Momentum contrast: a slowly moving encoder gives the keys, a queue of them the negatives.

"Momentum Contrast" (He et al., CVPR 2020, arXiv 1911.05722) with the perceptron head of version 2
(arXiv 2003.04297). Un-Mix (arXiv 2003.05438) gives its loss the mixtures' terms.
Differs from the authors' code: BatchNorm's statistics are those of the whole batch, not shuffled
and not split, so that a query's batch and its key's have statistics of the same images; the keys'
encoder moves after the step, not before the next, which is the same.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from training.pretraining.contrastive import info_nce
from training.pretraining.encoder import Encoder, Projected, follow, perceptron
from training.pretraining.gathering import gather_rows
from training.pretraining.method import Method
from training.pretraining.unmix import Mixture, loss_of_mixture


class MoCo(Method):
    """InfoNCE of queries against keys and the queue; the queue begins with random rows.

    `symmetric`: either view is query and key once, L12 + L21, and a step queues both views' keys.
    A mixture is of the first view and meets the keys of both, as in Un-Mix's `unmix_c10.py`.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        hidden: int,
        size: int,
        queue: int,
        momentum: float,
        temperature: float,
        symmetric: bool,
    ) -> None:
        super().__init__()
        head = perceptron(encoder.num_features, hidden, size, norm=False)
        self.online = Projected(encoder, head)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.momentum, self.temperature, self.symmetric = momentum, temperature, symmetric
        self.queue: Tensor
        self.position: Tensor
        self.register_buffer("queue", F.normalize(torch.randn(queue, size), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))
        self._keys: list[Tensor] = []

    def loss(self, first: Tensor, second: Tensor, mixture: Mixture | None) -> Tensor:
        pairs = [(first, second), (second, first)] if self.symmetric else [(first, second)]
        with torch.no_grad():
            self._keys = [gather_rows(self.target(other)) for _, other in pairs]
        loss = torch.stack(
            [
                self._loss(gather_rows(self.online(view)), key)
                for (view, _), key in zip(pairs, self._keys, strict=True)
            ]
        ).sum()
        if mixture is None:
            return loss

        def loss_of(rows: Tensor) -> Tensor:
            return torch.stack([self._loss(rows, key) for key in self._keys]).sum()

        mixed = gather_rows(self.online(mixture.images))
        return loss + loss_of_mixture(loss_of, mixed, mixture.share)

    def _loss(self, queries: Tensor, keys: Tensor) -> Tensor:
        return info_nce(queries, keys, self.queue, self.temperature)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the keys' encoder, and put the step's keys over the oldest ones."""
        follow(self.target, self.online, self.momentum)
        keys = torch.cat(self._keys)
        places = (self.position + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys
        self.position.add_(len(keys)).remainder_(len(self.queue))
        self._keys = []

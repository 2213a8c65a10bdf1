"""SimCLR: each view finds the other view of its image among all images of the batch.

"A Simple Framework for Contrastive Learning" (Chen et al., ICML 2020, arXiv 2002.05709). Un-Mix
(arXiv 2003.05438) gives its loss the mixtures' terms.
"""

from __future__ import annotations

from torch import Tensor

from training.pretraining.contrastive import nt_xent
from training.pretraining.encoder import Encoder, Projected, perceptron
from training.pretraining.gathering import gather_rows
from training.pretraining.method import Method
from training.pretraining.unmix import Mixture, loss_of_mixture


class SimCLR(Method):
    """NT-Xent of two views; a mixture takes the first view's place. All views have gradients."""

    def __init__(self, encoder: Encoder, *, hidden: int, size: int, temperature: float) -> None:
        super().__init__()
        head = perceptron(encoder.num_features, hidden, size, norm=True)
        self.online = Projected(encoder, head)
        self.temperature = temperature

    def loss(self, first: Tensor, second: Tensor, mixture: Mixture | None) -> Tensor:
        others = gather_rows(self.online(second))

        def loss_of(rows: Tensor) -> Tensor:
            return nt_xent(rows, others, self.temperature)

        loss = loss_of(gather_rows(self.online(first)))
        if mixture is None:
            return loss
        mixed = gather_rows(self.online(mixture.images))
        return loss + loss_of_mixture(loss_of, mixed, mixture.share)

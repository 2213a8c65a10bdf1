"""SwAV: from one view it is predicted to which prototypes the other view belongs.

"Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (Caron et al.,
NeurIPS 2020, arXiv 2006.09882), with two views. Un-Mix (arXiv 2003.05438) puts a mixture in the
first view's place in both predictions, its own codes turned round for the reversed term.
Prototypes, codes and loss are lightly's, whose prototypes have a bias that the paper's do not:
it is taken out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from supernet.files import UserError
from training.pretraining.encoder import Encoder, Projected, perceptron
from training.pretraining.gathering import gather_rows
from training.pretraining.method import Method
from training.pretraining.unmix import Mixture, loss_of_mixture


class SwAV(Method):
    """(l(z1, q2) + l(z2, q1)) / 2 with l(z, q) = -sum_k q_k log softmax(z / temperature)_k.

    z are cosines to the prototypes, q (codes) what Sinkhorn and Knopp's rounds make of them: the
    batch, and the queue's rows once it is full, spread over all prototypes alike. dl/dz = (p - q) /
    temperature, with p the softmax; codes have no gradient. `queue` rows of either view are kept
    from epoch `queue_from` on, never of mixtures. Prototypes do not learn for `frozen_epochs`.
    """

    online: nn.ModuleDict

    def __init__(
        self,
        encoder: Encoder,
        *,
        hidden: int,
        size: int,
        prototypes: int,
        epsilon: float,
        temperature: float,
        queue: int,
        queue_from: int,
        frozen_epochs: int,
    ) -> None:
        super().__init__()
        make_prototypes, make_loss = lightly_parts()
        head = perceptron(encoder.num_features, hidden, size, norm=True)
        without_bias = make_prototypes(size, prototypes)
        without_bias.heads[0].register_parameter("bias", None)
        self.online = nn.ModuleDict({"rows": Projected(encoder, head), "prototypes": without_bias})
        self.swapped_loss = make_loss(temperature, sinkhorn_epsilon=epsilon)
        self.queue_from, self.frozen_epochs = queue_from, frozen_epochs
        self.queue: Tensor
        self.kept: Tensor
        self.register_buffer("queue", torch.zeros(2, queue, size))
        self.register_buffer("kept", torch.zeros((), dtype=torch.long))
        self._rows: Tensor | None = None
        self._is_queueing = False

    def before_step(self, step: int, steps_per_epoch: int) -> None:
        """Put the prototypes back to length 1; freeze them, and keep rows, as the epoch has it."""
        epoch = step // steps_per_epoch
        prototypes: Any = self.online["prototypes"]
        prototypes.normalize()
        prototypes.requires_grad_(epoch >= self.frozen_epochs)
        self._is_queueing = self.queue.shape[1] > 0 and epoch >= self.queue_from

    def loss(self, first: Tensor, second: Tensor, mixture: Mixture | None) -> Tensor:
        rows, prototypes = self.online["rows"], self.online["prototypes"]
        of_first, of_second = gather_rows(rows(first)), gather_rows(rows(second))
        self._rows = torch.stack([of_first, of_second]).detach()
        others, queued = prototypes(of_second), self._scores_of_queue()

        def loss_of(scores: Tensor) -> Tensor:
            # The codes of reversed rows are the reversed codes: no row's depends on its place.
            return self.swapped_loss([scores, others], [], queued).squeeze(0)

        loss = loss_of(prototypes(of_first))
        if mixture is None:
            return loss
        mixed = prototypes(gather_rows(rows(mixture.images)))
        return loss + loss_of_mixture(loss_of, mixed, mixture.share)

    @torch.no_grad()
    def _scores_of_queue(self) -> Tensor | None:
        """(2, rows, prototypes), by the prototypes as they are now; None while it is not full."""
        if not self._is_queueing or int(self.kept) < self.queue.shape[1]:
            return None
        return self.online["prototypes"](self.queue)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Put the step's rows before those of earlier steps; the oldest ones fall out."""
        if self._is_queueing and self._rows is not None:
            size = self.queue.shape[1]
            self.kept.add_(self._rows.shape[1]).clamp_(max=size)
            self.queue.copy_(torch.cat([self._rows, self.queue], 1)[:, :size])
        self._rows = None


def lightly_parts() -> tuple[Any, Any]:
    """lightly's classes of prototypes and of the loss; importing them takes seconds.

    Raises:
        UserError: lightly is not installed.
    """
    try:
        from lightly.loss.swav_loss import SwaVLoss
        from lightly.models.modules.heads import SwaVPrototypes
    except ImportError as error:
        raise UserError(
            f"pretrain.method swav needs the library lightly, which cannot be imported ({error}): "
            f"install it with pip install -e '.[ssl]'"
        ) from error
    return SwaVPrototypes, SwaVLoss

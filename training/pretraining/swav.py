"""SwAV: from one view it is predicted to which prototypes the other view belongs.

"Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (Caron et al.,
NeurIPS 2020, arXiv 2006.09882), with two views. Un-Mix (arXiv 2003.05438) puts a mixture in the
first view's place in both predictions; what its reversed term reverses, `SwavMixtures` says.
Prototypes, codes and loss are lightly's, whose prototypes have a bias that the paper's do not:
it is taken out. Differs from the authors' code: BatchNorm's statistics are those of one view, not
of both views and the mixture together; the prototypes freeze for epochs, not for steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from supernet.files import UserError
from training.pretraining.encoder import Encoder, Projected, perceptron
from training.pretraining.gathering import gather_rows
from training.pretraining.method import Method
from training.pretraining.unmix import Mixture, SwavMixtures, loss_of_mixture, reverse


class Queue(NamedTuple):
    """The rows kept of either view, newest first: (2, size, D), of which `kept` are real."""

    rows: Tensor
    kept: int

    @property
    def is_full(self) -> bool:
        """Whether it is used for the codes: there is one, and no place is left."""
        return 0 < self.rows.shape[1] <= self.kept

    def before(self, newest: Tensor) -> Queue:
        """With rows (2, N, D) put before the kept ones; the oldest fall out."""
        size = self.rows.shape[1]
        kept = min(self.kept + newest.shape[1], size)
        return Queue(torch.cat([newest, self.rows], 1)[:, :size], kept)


class SwAV(Method):
    """(l(z1, q2) + l(z2, q1)) / 2 with l(z, q) = -sum_k q_k log softmax(z / temperature)_k.

    z are cosines to the prototypes, q (codes) what Sinkhorn and Knopp's rounds make of them: the
    batch, and the queue's rows once it is full, spread over all prototypes alike. dl/dz = (p - q) /
    temperature, with p the softmax; codes have no gradient. `queue` rows of either view are kept
    from epoch `queue_from` on, of mixtures only in the script's way (`mixtures`). Prototypes do
    not learn for `frozen_epochs`.
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
        mixtures: SwavMixtures = "formula",
    ) -> None:
        super().__init__()
        make_prototypes, make_loss, self._sinkhorn = lightly_parts()
        head = perceptron(encoder.num_features, hidden, size, norm=True)
        without_bias = make_prototypes(size, prototypes)
        without_bias.heads[0].register_parameter("bias", None)
        self.online = nn.ModuleDict({"rows": Projected(encoder, head), "prototypes": without_bias})
        self.swapped_loss = make_loss(temperature, sinkhorn_epsilon=epsilon)
        self.queue_from, self.frozen_epochs = queue_from, frozen_epochs
        self.mixtures = mixtures
        self.queue: Tensor
        self.kept: Tensor
        self.register_buffer("queue", torch.zeros(2, queue, size))
        self.register_buffer("kept", torch.zeros((), dtype=torch.long))
        self._grown: Queue | None = None
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
        queue = Queue(self.queue, int(self.kept) if self._is_queueing else 0)
        others, queued = prototypes(of_second), self._scores_of(queue)

        def loss_of(scores: Tensor) -> Tensor:
            # The codes of reversed rows are the reversed codes: no row's depends on its place.
            return self.swapped_loss([scores, others], [], queued).squeeze(0)

        loss = loss_of(prototypes(of_first))
        self._grown = queue.before(torch.stack([of_first, of_second]).detach())
        if mixture is None:
            return loss
        of_mixture = gather_rows(rows(mixture.images))
        mixed = prototypes(of_mixture)
        if self.mixtures == "formula":
            return loss + loss_of_mixture(loss_of, mixed, mixture.share)
        pair = torch.stack([of_mixture, of_second]).detach()
        plain = self._loss_of_script(mixed, others, pair, is_reversed=False)
        turned = self._loss_of_script(mixed, others, pair, is_reversed=True)
        return loss + mixture.share * plain + (1 - mixture.share) * turned

    def _loss_of_script(
        self, mixed: Tensor, others: Tensor, rows: Tensor, is_reversed: bool
    ) -> Tensor:
        """(l(zm, q2) + l(z2, qm)) / 2, of which qm alone is reversed; then its rows are queued.

        `mixed` and `others` are the scores of `rows` (2, N, D): the mixtures, and the second views.
        """
        assert self._grown is not None
        queued = self._scores_of(self._grown)
        of_mixed, of_others = (
            self._codes(scores, None if queued is None else queued[view])
            for view, scores in enumerate((mixed, others))
        )
        if is_reversed:
            of_mixed, rows = reverse(of_mixed), torch.stack([reverse(rows[0]), rows[1]])
        self._grown = self._grown.before(rows)
        cross_entropy = self.swapped_loss.subloss
        return (cross_entropy(mixed, of_others) + cross_entropy(others, of_mixed)) / 2

    def _codes(self, scores: Tensor, queued: Tensor | None) -> Tensor:
        """Codes (N, prototypes) of scores (N, prototypes), spread together with the queue's."""
        together = scores.detach() if queued is None else torch.cat([scores.detach(), queued])
        loss = self.swapped_loss
        codes = self._sinkhorn(together, loss.sinkhorn_iterations, loss.sinkhorn_epsilon)
        return codes[: len(scores)]

    @torch.no_grad()
    def _scores_of(self, queue: Queue) -> Tensor | None:
        """(2, rows, prototypes), by the prototypes as they are now; None while it is not full."""
        if not self._is_queueing or not queue.is_full:
            return None
        return self.online["prototypes"](queue.rows)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Keep the queue as the step's rows have made it."""
        if self._is_queueing and self._grown is not None:
            self.queue.copy_(self._grown.rows)
            self.kept.fill_(self._grown.kept)
        self._grown = None


def lightly_parts() -> tuple[Any, Any, Any]:
    """lightly's classes of prototypes and loss, and its function of codes; it takes seconds.

    Raises:
        UserError: lightly is not installed.
    """
    try:
        from lightly.loss.swav_loss import SwaVLoss, sinkhorn
        from lightly.models.modules.heads import SwaVPrototypes
    except ImportError as error:
        raise UserError(
            f"pretrain.method swav needs the library lightly, which cannot be imported ({error}): "
            f"install it with pip install -e '.[ssl]'"
        ) from error
    return SwaVPrototypes, SwaVLoss, sinkhorn

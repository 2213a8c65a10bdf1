"""In-place distillation: of a step's paths the first, the largest, teaches the others.

Universally slimmable networks (arXiv 1903.05134), BigNAS (arXiv 2003.11142).
"""

from __future__ import annotations

from torch import Tensor

from training.losses import Loss, MeanDivergence, Targets, distribution_loss


class InPlaceLoss:
    """`first` for a step's first path; for each further one the distance to the first's logits.

    The teacher's logits are detached: it learns by `first` alone. They are kept within a step only,
    from one `targets` to the next, so that a resumed run needs none. `figures` has those of `first`
    and "kl_in_place", the mean divergence of the further paths from the first in nats.
    """

    def __init__(self, first: Loss) -> None:
        self.first = first
        self._teacher_logits: Tensor | None = None
        self._divergence = MeanDivergence()

    def targets(self, x: Tensor, labels: Tensor) -> Targets:
        self._teacher_logits = None
        return self.first.targets(x, labels)

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        if self._teacher_logits is None:
            self._teacher_logits = logits.detach()
            return self.first(logits, targets)
        loss = distribution_loss(logits, self._teacher_logits)
        self._divergence.add(loss.detach(), self._teacher_logits)
        return loss

    def figures(self) -> dict[str, float]:
        kl = self._divergence.take()
        return {**self.first.figures(), **({} if kl is None else {"kl_in_place": kl})}

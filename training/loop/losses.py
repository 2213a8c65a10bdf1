"""What a step minimises: the labels' cross-entropy, or the distance to a teacher's distribution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Targets:
    """What the images of one step should give.

    `labels`: class numbers (N,), or the share of each class (N, classes) where images are mixed.
    `teacher_logits`: (N, classes), without gradient; None where nobody teaches.
    """

    labels: Tensor
    teacher_logits: Tensor | None = None


class Loss(Protocol):
    """One loss: its targets once a step, its value once a path."""

    def targets(self, x: Tensor, labels: Tensor) -> Targets:
        """The targets of a step's images `x`, which are varied, and mixed where `labels` are."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """The mean over the batch, a scalar of at least fp32."""

    def figures(self) -> dict[str, float]:
        """Further numbers for the log, each the mean since the last call."""


@dataclass(frozen=True)
class LabelLoss:
    """Cross-entropy with the labels, smoothed: each class gets smoothing / classes on top."""

    label_smoothing: float = 0.0

    def targets(self, x: Tensor, labels: Tensor) -> Targets:
        return Targets(labels)

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        return _label_loss(logits, targets.labels, self.label_smoothing)

    def figures(self) -> dict[str, float]:
        return {}


class DistillationLoss:
    """(1 - label_weight) * distribution loss + label_weight * cross-entropy with the labels.

    `figures` has "kl": the divergence of the student from the teacher in nats, both at the
    temperature, without the factor of temperature squared.
    """

    def __init__(
        self,
        teacher: Callable[[Tensor], Tensor],
        temperature: float = 1.0,
        label_weight: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        self.teacher = teacher
        self.temperature = temperature
        self.label_weight = label_weight
        self.label_smoothing = label_smoothing
        self._divergence = MeanDivergence()

    def targets(self, x: Tensor, labels: Tensor) -> Targets:
        return Targets(labels, self.teacher(x).detach())

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        assert targets.teacher_logits is not None
        loss = distribution_loss(logits, targets.teacher_logits, self.temperature)
        self._divergence.add(loss.detach(), targets.teacher_logits, self.temperature)
        if self.label_weight == 0:
            return loss
        label_loss = _label_loss(logits, targets.labels, self.label_smoothing)
        return (1 - self.label_weight) * loss + self.label_weight * label_loss

    def figures(self) -> dict[str, float]:
        kl = self._divergence.take()
        return {} if kl is None else {"kl": kl}


class MeanDivergence:
    """Mean KL divergence of a student from its teacher since the last look, in nats."""

    def __init__(self) -> None:
        # A sum on the device, so that a step need not wait for it.
        self._sum: Tensor | None = None
        self._count = 0

    def add(self, loss: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> None:
        """Note a `distribution_loss`, detached, both sides at the temperature."""
        kl = loss / temperature**2 - entropy(teacher_logits, temperature)
        self._sum = kl if self._sum is None else self._sum + kl
        self._count += 1

    def take(self) -> float | None:
        """The mean, which begins anew; None where nothing was noted."""
        if self._sum is None:
            return None
        mean = self._sum.item() / self._count
        self._sum, self._count = None, 0
        return mean


def distribution_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0
) -> Tensor:
    """Cross-entropy of the student's distribution with the teacher's (ReActNet, 2003.03488, 4.3).

    Forward:   L = T^2 * mean over the batch of -sum_c softmax(zT / T)_c log_softmax(zS / T)_c
    Backward:  dL/dzS = T (softmax(zS / T) - softmax(zT / T)) / N;  none to the teacher

    The paper's temperature T is 1. T^2 keeps the gradient's size when T changes (Hinton et al.,
    1503.02531, section 2). L is T^2 (KL + the teacher's `entropy`), so the gradient is that of KL.
    Shapes: (N, classes) both; computed and returned in fp32 where they are of half precision.
    """
    student = _at_least_fp32(student_logits) / temperature
    teacher = _at_least_fp32(teacher_logits.detach()) / temperature
    cross_entropy = F.cross_entropy(student, teacher.softmax(1).to(student.dtype))
    return temperature**2 * cross_entropy


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean over the batch of -sum_c p_c log p_c in nats, p = softmax(logits / temperature)."""
    scaled = _at_least_fp32(logits) / temperature
    return -(scaled.softmax(1) * scaled.log_softmax(1)).sum(1).mean()


def _label_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    logits = _at_least_fp32(logits)
    if labels.is_floating_point():
        labels = labels.to(logits.dtype)
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


def _at_least_fp32(logits: Tensor) -> Tensor:
    """16 bits are too few for a sum over 1000 classes of logarithms."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


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

"""In-place distillation: who learns what, against worked values and gradients summed by hand."""

import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.supernet import Supernet
from training.loop.losses import DistillationLoss, InPlaceLoss, LabelLoss, Loss
from training.loop.supervised import training_step
from training.path_sampling import PathSamplingConfig, draw_paths

LARGEST, OTHER = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
LABELS, X = torch.tensor([1]), torch.empty(0)


def test_the_first_path_learns_the_labels_and_teaches_the_others() -> None:
    loss: Loss = InPlaceLoss(LabelLoss(0.1))
    teacher, student = LARGEST.clone().requires_grad_(), OTHER.clone().requires_grad_()
    for _ in range(2):  # every step begins with the labels again
        targets = loss.targets(X, LABELS)
        # log_softmax([2, 0]) = (-.126928, -2.126928): .05 * .126928 + .95 * 2.126928 = 2.026928
        assert loss(teacher, targets).item() == pytest.approx(2.026928)
        # Cross-entropy of (.5, .5) with softmax([2, 0]) = (.880797, .119203): log 2
        assert loss(student, targets).item() == pytest.approx(0.693147, abs=1e-6)
    loss(student, targets).backward()
    assert teacher.grad is None
    assert student.grad.tolist()[0] == pytest.approx([-0.380797, 0.380797], abs=1e-6)


def test_the_mean_divergence_is_logged_once() -> None:
    loss = InPlaceLoss(LabelLoss())
    assert loss.figures() == {}
    targets = loss.targets(X, LABELS)
    for logits in (LARGEST, OTHER, LARGEST):
        loss(logits, targets)
    # log 2 - the teacher's entropy .365334 = .327813, and 0 for the teacher's own logits
    assert loss.figures() == {"kl_in_place": pytest.approx(0.327813 / 2, abs=1e-6)}
    assert loss.figures() == {}


def test_the_first_path_may_have_a_teacher_of_its_own() -> None:
    asked: list[Tensor] = []

    def teacher(x: Tensor) -> Tensor:
        asked.append(x)
        return OTHER

    loss = InPlaceLoss(DistillationLoss(teacher))
    targets = loss.targets(X, LABELS)
    # .5 * .126928 + .5 * 2.126928
    assert loss(LARGEST, targets).item() == pytest.approx(1.126928, abs=1e-6)
    loss(OTHER, targets)
    figures = loss.figures()
    # KL of (.880797, .119203) from (.5, .5) is 1.126928 - .693147; that of OTHER as above.
    assert figures["kl"] == pytest.approx(0.433781, abs=1e-6)
    assert figures["kl_in_place"] == pytest.approx(0.327813, abs=1e-6)
    assert len(asked) == 1


def test_a_step_adds_the_gradients_of_all_paths(tiny_space: MobileNetGroups) -> None:
    torch.manual_seed(0)
    supernet = Supernet(tiny_space)
    x, labels = torch.randn(8, 1, 8, 8), torch.arange(8) % 4
    drawn = draw_paths(tiny_space, PathSamplingConfig(rule="sandwich"), random.Random(0))
    largest, *others = [supernet.path(architecture) for architecture in drawn]

    logits = largest(x)
    total = F.cross_entropy(logits, labels, label_smoothing=0.1)
    probabilities = logits.detach().softmax(1)
    for path in others:
        total = total - (probabilities * path(x).log_softmax(1)).sum(1).mean()
    total.backward()
    expected = {n: p.grad.clone() for n, p in supernet.named_parameters() if p.grad is not None}

    optimiser = torch.optim.SGD(supernet.parameters(), lr=0.0)
    mean = training_step(
        [largest, *others], supernet, optimiser, x, labels, InPlaceLoss(LabelLoss(0.1))
    )
    found = {n: p.grad for n, p in supernet.named_parameters() if p.grad is not None}
    assert mean.item() == pytest.approx(total.item() / 4, rel=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6), name

"""Losses against worked values, their gradient formula, and what they note for the log."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from training.loop.losses import (
    DistillationLoss,
    LabelLoss,
    Loss,
    Targets,
    distribution_loss,
    entropy,
)

TEACHER, STUDENT = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]])
LABELS = torch.tensor([1])


@st.composite
def pairs_of_logits(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """A student's and a teacher's logits in fp64, of equal shape."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(2, 6)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.1, 1.0, 10.0]))
    drawn = spread * torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return drawn[0], drawn[1]


def test_worked_example() -> None:
    # softmax([2, 0]) = (e^2, 1) / (e^2 + 1) = (.880797, .119203), softmax([0, 0]) = (.5, .5)
    student = STUDENT.clone().requires_grad_()
    loss = distribution_loss(student, TEACHER)
    loss.backward()
    assert loss.item() == pytest.approx(0.693147, abs=1e-6)  # log 2, whoever teaches
    assert entropy(TEACHER).item() == pytest.approx(0.365334, abs=1e-6)
    assert loss.item() - entropy(TEACHER).item() == pytest.approx(0.327813, abs=1e-6)
    # (.5 - .880797, .5 - .119203)
    assert student.grad.tolist()[0] == pytest.approx([-0.380797, 0.380797], abs=1e-6)


@given(pairs_of_logits(), st.sampled_from([0.5, 1.0, 3.0]))
def test_gradient_is_the_formula(logits: tuple[Tensor, Tensor], temperature: float) -> None:
    student, teacher = (side.requires_grad_() for side in logits)
    distribution_loss(student, teacher, temperature).backward()
    softened = [(side / temperature).softmax(1) for side in logits]
    expected = temperature * (softened[0] - softened[1]) / len(student)
    assert torch.allclose(student.grad, expected, rtol=1e-9, atol=1e-12)
    assert teacher.grad is None


@given(pairs_of_logits(), st.sampled_from([0.5, 1.0, 3.0]))
def test_divergence_is_never_negative(logits: tuple[Tensor, Tensor], temperature: float) -> None:
    student, teacher = logits
    cross_entropy = distribution_loss(student, teacher, temperature) / temperature**2
    divergence = cross_entropy - entropy(teacher, temperature)
    reference = F.kl_div(
        (student / temperature).log_softmax(1),
        (teacher / temperature).softmax(1),
        reduction="batchmean",
    )
    assert divergence.item() >= -1e-12
    assert divergence.item() == pytest.approx(reference.item(), abs=1e-9)
    itself = distribution_loss(teacher, teacher, temperature) / temperature**2
    assert itself.item() == pytest.approx(entropy(teacher, temperature).item(), abs=1e-12)


def test_temperature_softens_both_sides() -> None:
    # At T = 2 the logits [2, 0] and [4, 0] are [1, 0] and [2, 0]; the loss is 2^2 times theirs.
    student, teacher = torch.tensor([[2.0, 0.0]]), torch.tensor([[4.0, 0.0]])
    expected = 4 * distribution_loss(student / 2, teacher / 2)
    assert distribution_loss(student, teacher, 2).item() == pytest.approx(expected.item())
    assert distribution_loss(student, teacher).item() != pytest.approx(expected.item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_fp32(dtype: torch.dtype) -> None:
    student, teacher = torch.randn(2, 3, 1000, generator=torch.Generator().manual_seed(0))
    student, teacher = student.to(dtype), teacher.to(dtype)
    losses = [
        distribution_loss(student, teacher),
        entropy(teacher),
        LabelLoss(0.1)(student, Targets(torch.tensor([5, 6, 7]))),
    ]
    exact = [
        distribution_loss(student.double(), teacher.double()),
        entropy(teacher.double()),
        LabelLoss(0.1)(student.double(), Targets(torch.tensor([5, 6, 7]))),
    ]
    assert [loss.dtype for loss in losses] == [torch.float32] * 3
    # Far closer than bf16's 2^-8 or fp16's 2^-11 of a loss near 7.
    assert [loss.item() for loss in losses] == pytest.approx([e.item() for e in exact], rel=1e-6)


def test_label_loss_is_smoothed_cross_entropy() -> None:
    # log_softmax([2, 0]) = (-.126928, -2.126928). Smoothing .1 of two classes: (.05, .95) for
    # class 1, so the loss is .05 * .126928 + .95 * 2.126928 = 2.026928.
    loss = LabelLoss(0.1)
    assert loss(TEACHER, loss.targets(torch.empty(0), LABELS)).item() == pytest.approx(2.026928)
    assert loss.figures() == {}


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_shares_of_classes_are_labels(smoothing: float) -> None:
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    loss = LabelLoss(smoothing)
    whole = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    numbers = loss(logits, Targets(torch.tensor([1, 2])))
    assert loss(logits, Targets(whole)).item() == pytest.approx(numbers.item())
    # A mix of two labellings costs the same mix of their losses.
    other = loss(logits, Targets(torch.tensor([0, 0])))
    mixed = 0.25 * whole + 0.75 * torch.tensor([[1.0, 0.0, 0.0]])
    expected = 0.25 * numbers.item() + 0.75 * other.item()
    assert loss(logits, Targets(mixed)).item() == pytest.approx(expected)
    assert loss(logits.bfloat16(), Targets(mixed)).dtype == torch.float32


@pytest.mark.parametrize(
    ("weight", "smoothing", "expected"),
    [
        # Student [2, 0] and teacher [0, 0]: .5 * .126928 + .5 * 2.126928 = 1.126928.
        (0.0, 0.0, 1.126928),
        # Class 0 costs .126928: .75 * 1.126928 + .25 * .126928 = .876928.
        (0.25, 0.0, 0.876928),
        # Smoothed .95 * .126928 + .05 * 2.126928 = .226928: .845196 + .25 * .226928 = .901928.
        (0.25, 0.1, 0.901928),
        (1.0, 0.0, 0.126928),
    ],
)
def test_label_weight_mixes_both_losses(weight: float, smoothing: float, expected: float) -> None:
    loss = DistillationLoss(lambda x: torch.zeros(1, 2), 1.0, weight, smoothing)
    targets = loss.targets(torch.empty(0), torch.tensor([0]))
    assert loss(TEACHER, targets).item() == pytest.approx(expected, abs=1e-6)


def test_teacher_is_asked_once_a_step_and_learns_nothing() -> None:
    asked: list[Tensor] = []
    weight = torch.ones(2, requires_grad=True)

    def teacher(x: Tensor) -> Tensor:
        asked.append(x)
        return x * weight

    loss: Loss = DistillationLoss(teacher)
    targets = loss.targets(TEACHER, LABELS)
    for student in (STUDENT, TEACHER):
        loss(student.clone().requires_grad_(), targets).backward()
    assert len(asked) == 1 and asked[0] is TEACHER
    assert targets.labels is LABELS and targets.teacher_logits.tolist() == [[2.0, 0.0]]
    assert not targets.teacher_logits.requires_grad and weight.grad is None


def test_figures_are_the_mean_divergence_since_the_last_look() -> None:
    loss = DistillationLoss(lambda x: TEACHER, label_weight=0.5)
    assert loss.figures() == {}
    targets = loss.targets(torch.empty(0), LABELS)
    for student in (STUDENT, TEACHER):  # .327813 and, from itself, 0
        loss(student, targets)
    assert loss.figures() == {"kl": pytest.approx(0.327813 / 2, abs=1e-6)}
    assert loss.figures() == {}
    loss(STUDENT, targets)
    assert loss.figures() == {"kl": pytest.approx(0.327813, abs=1e-6)}


def test_noted_divergence_is_that_of_the_softened_sides() -> None:
    # [4, 0] and [0, 0] at T = 2 are [2, 0] and [0, 0], whatever factor the loss has.
    loss = DistillationLoss(lambda x: 2 * TEACHER, temperature=2)
    loss(STUDENT, loss.targets(torch.empty(0), LABELS))
    assert loss.figures() == {"kl": pytest.approx(0.327813, abs=1e-6)}

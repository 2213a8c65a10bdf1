"""How good features are: nearest neighbours, and a linear layer trained on them.

Labels come in here alone. Whose images are scored is the caller's choice; nothing here opens any.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.finite import demand_finite
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation

BATCH = 500
PROBE_DECAY = 1e-3
PROBE_STEPS = 200


def features_of(
    encoder: nn.Module, images: ImageSet, normalisation: Normalisation, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Features (N, D) and labels (N,) of images as they are in evaluation, on the CPU.

    `encoder` is on `device`; it is in evaluation mode afterwards.
    """
    encoder.eval()
    rows = []
    with torch.inference_mode():
        for pixels, _ in images.batches(torch.arange(len(images)), BATCH, device):
            x = normalisation.apply(pixels).contiguous(memory_format=torch.channels_last)
            rows.append(encoder(x).float().cpu())
    return torch.cat(rows), images.labels


def neighbour_top1(
    known: tuple[Tensor, Tensor],
    asked: tuple[Tensor, Tensor],
    *,
    num_classes: int,
    neighbours: int,
    temperature: float,
) -> float:
    """Top-1 of weighted kNN (arXiv 1805.01978, section 3.4), in percent.

    Each of the `neighbours` most alike by cosine s votes exp(s / temperature) for its class; where
    there are fewer known images, all vote.
    """
    of_known, labels = F.normalize(known[0], dim=1), known[1]
    correct = 0
    demand_finite(asked[0], "the encoder")
    demand_finite(of_known, "the encoder")
    for rows, truth in zip(asked[0].split(BATCH), asked[1].split(BATCH), strict=True):
        likeness = F.normalize(rows, dim=1) @ of_known.T
        nearest = likeness.topk(min(neighbours, len(labels)), dim=1)
        # exp(s / T) over exp(1 / T): no temperature overflows.
        votes = ((nearest.values - 1) / temperature).exp()
        scores = torch.zeros(len(rows), num_classes)
        scores.scatter_add_(1, labels[nearest.indices], votes)
        correct += int((scores.argmax(1) == truth).sum())
    return 100.0 * correct / len(asked[1])


class Line(NamedTuple):
    """A linear layer on features: weight (classes, D) and bias (classes,)."""

    weight: Tensor
    bias: Tensor


def fit_line(known: tuple[Tensor, Tensor], *, num_classes: int) -> Line:
    """A linear layer trained on the known features.

    Cross-entropy + PROBE_DECAY / 2 |W|^2 over features of mean m = 0 and deviation s = 1, by L-BFGS
    over all of them at once: nothing is drawn, and there is no learning rate to be tuned. Given is
    the layer on the features as they are: W (x - m) / s + b = (W / s) x + (b - (W / s) m).
    """
    # In double precision: rounding must not make a constant feature one that varies.
    features, labels = known[0].double(), known[1]
    mean, deviation = features.mean(0), features.std(0).clamp(min=1e-6)
    x = ((features - mean) / deviation).float()
    weight = torch.zeros(num_classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(num_classes, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, bias], max_iter=PROBE_STEPS, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), labels)
        loss = loss + PROBE_DECAY / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        folded = weight.double() / deviation
        shifted = bias.double() - folded @ mean
    return Line(folded.float(), shifted.float())


def linear_top1(line: Line, asked: tuple[Tensor, Tensor]) -> float:
    """Top-1 of a linear layer on features, in percent."""
    logits = F.linear(asked[0], line.weight, line.bias)
    demand_finite(logits, "the linear probe")
    return 100.0 * (logits.argmax(1) == asked[1]).float().mean().item()


def score_features(
    known: tuple[Tensor, Tensor],
    asked: tuple[Tensor, Tensor],
    line: Line,
    *,
    neighbours: int,
    temperature: float,
) -> dict[str, float]:
    """`neighbour_top1` and `linear_top1` in percent, and how many images were asked about."""
    by_neighbours = neighbour_top1(
        known,
        asked,
        num_classes=len(line.bias),
        neighbours=neighbours,
        temperature=temperature,
    )
    by_line = linear_top1(line, asked)
    return {
        "neighbour_top1": round(by_neighbours, 4),
        "linear_top1": round(by_line, 4),
        "images": len(asked[1]),
    }

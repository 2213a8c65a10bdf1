"""Score a trained network on labelled images: a folder, or its data set's test split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from evaluate.class_scores import balanced_top1, count_classes, described, notes_of
from evaluate.over_images import as_text
from evaluate.test_split import (
    OTHER_IMAGES,
    TestImages,
    beside_training,
    open_network,
    open_test_split,
)
from supernet.files.telling import tell_once
from supernet.finite import demand_finite
from training.data import open_training_data
from training.data.image_set import ImageSet
from training.data.test_part import open_labelled_folder
from training.device import DeviceName, choose_device, set_threads
from training.network_file import TrainedNetwork
from training.pretraining.config import PretrainConfig
from training.pretraining.encoder import Encoder
from training.pretraining.probes import features_of, fit_line
from training.pretraining.run import STAGE, WEIGHTS, scores_of
from training.run_files.folder import open_finished

BATCH = 500
CALIBRATION_BINS = 15


def score_network(
    trained: TrainedNetwork,
    images: ImageSet,
    device_name: DeviceName = "auto",
    *,
    with_losses: bool = False,
) -> dict[str, Any]:
    """Top-1, top-5, balanced top-1 and the calibration error of fp32 evaluation, in percent.

    `classes` are the counts of each class (`evaluate.class_scores`), `right` says of each image
    whether its class was found (`evaluate.over_images`). `with_losses`: `losses` is the
    cross-entropy of each image with its label, in nats to 6 digits behind the point.
    """
    device = choose_device(device_name)
    network = trained.network.to(device).eval()
    network.to(memory_format=torch.channels_last)
    seen = trained.normalisation
    hits = torch.zeros(5, dtype=torch.long)
    trust, right, found, asked = [], [], [], []
    losses: list[float] = []
    with torch.inference_mode():
        for pixels, labels in images.batches(torch.arange(len(images)), BATCH, device):
            x = seen.apply(pixels)
            logits = network(x.contiguous(memory_format=torch.channels_last))
            demand_finite(logits)
            ranked = logits.topk(min(5, logits.shape[1])).indices
            hits[: ranked.shape[1]] += (ranked == labels[:, None]).sum(0).cpu()
            trust.append(logits.float().softmax(1).amax(1).cpu())
            right.append((ranked[:, 0] == labels).cpu())
            if with_losses:
                of_each = cross_entropy(logits.double(), labels, reduction="none")
                losses += [round(loss, 6) for loss in of_each.tolist()]
            found.append(ranked[:, 0].cpu())
            asked.append(labels.cpu())
    share = 100.0 * hits.cumsum(0) / len(images)
    classes = count_classes(torch.cat(asked), torch.cat(found), images.class_names)
    return {
        "top1": share[0].item(),
        "top5": share[-1].item(),
        "calibration_error": 100.0 * calibration_error(torch.cat(trust), torch.cat(right)),
        "balanced_top1": balanced_top1(classes),
        "classes": classes,
        "right": as_text(torch.cat(right).numpy()),
        **({"losses": losses} if with_losses else {}),
    }


def calibration_error(trust: Tensor, right: Tensor) -> float:
    """Expected calibration error (arXiv 1706.04599, equation 3) over 15 bins of equal width.

    Args:
        trust: largest probability of each image, (N,), in [0, 1].
        right: whether its class is the label, bool (N,).

    Returns:
        The sum over bins of (images in bin / N) |mean of right - mean of trust|, in [0, 1].
    """
    # A bin is (i / 15, (i + 1) / 15].
    bins = (trust.double() * CALIBRATION_BINS).ceil().long().clamp(1, CALIBRATION_BINS) - 1
    gaps = torch.zeros(CALIBRATION_BINS, dtype=torch.float64)
    gaps.index_add_(0, bins, right.double() - trust.double())
    return (gaps.abs().sum() / len(trust)).item()


def evaluate_checkpoint(
    checkpoint: Path, data: Path | None = None, *, strict: bool = False
) -> dict[str, Any]:
    """Score a network file on a folder of class folders, or on the test split it belongs to.

    `strict`: none of the images may be one that it was trained on.

    Raises:
        UserError: a damaged file, a folder whose classes are not the network's, or a test split
            that has changed since the network was trained.
    """
    trained = open_network(checkpoint)
    set_threads(None)
    if data is None:
        test = open_test_split(trained, checkpoint, strict=strict, advice=OTHER_IMAGES)
    else:
        images = open_labelled_folder(data, trained.view, trained.class_names)
        test = beside_training(trained, checkpoint, images, data, strict=strict)
    return {
        "checkpoint": str(checkpoint),
        "data": str(data) if data is not None else f"{trained.data.name} (test split)",
        **in_full(score_network(trained, test.images), test),
    }


def is_percent(value: Any) -> bool:
    """Whether an entry of a score is one number of all images."""
    return isinstance(value, float)


def in_full(score: Mapping[str, Any], test: TestImages) -> dict[str, Any]:
    """A score rounded, with top-1 of each class, and what must be known to read it (`notes`)."""
    classes = score["classes"]
    numbers = {name: round(value, 4) for name, value in score.items() if is_percent(value)}
    same = test.same
    return {
        "images": len(test.images),
        **numbers,
        "also_trained_on": None if same is None else len(same.pairs),
        "classes": described(classes),
        "notes": [*test.notes, *notes_of(classes)],
    }


def score_on_test_split(run: Path, *, strict: bool = False) -> dict[str, Any]:
    """kNN and a linear probe on the features of all training images, scored on the test split.

    The manifest keeps the scores as `test_split`; they are not made a second time.

    Raises:
        UserError: no finished pre-training there, or images that cannot be read.
    """
    folder = open_finished(run, STAGE)
    if (recorded := folder.manifest.get("test_split")) is not None:
        return recorded
    config = PretrainConfig(**folder.config[STAGE])
    trained = open_network(folder.path / WEIGHTS)
    data = open_training_data(trained.data)
    test = open_test_split(trained, folder.path / WEIGHTS, strict=strict)
    for note in test.notes:
        tell_once(note)
    device = choose_device(config.device)
    set_threads(folder.manifest.get("threads"))
    encoder = Encoder(trained.network).to(device)
    known = features_of(encoder, data.everything, trained.normalisation, device)
    asked = features_of(encoder, test.images, trained.normalisation, device)
    scores = scores_of(config, known, asked, fit_line(known, num_classes=data.num_classes))
    folder.record("test_split", scores)
    return scores

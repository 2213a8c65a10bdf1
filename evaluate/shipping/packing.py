"""Pack a trained network, checked on images; and score a packed model on labelled ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deploy import packed_file
from deploy.checking import check_classes, check_operations
from deploy.engine.packed_network import PackedNetwork
from deploy.engine.prediction import view_of
from deploy.lowering.network import pack
from evaluate.class_scores import balanced_top1, count_classes
from evaluate.score import in_full
from evaluate.shipping.checked_images import BATCH, check_images, open_checkpoint
from evaluate.shipping.written import Refused, Written
from evaluate.test_split import (
    OTHER_IMAGES,
    TestImages,
    beside_training,
    open_network,
    open_test_split,
)
from supernet.files import UserError, naming
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation
from training.data.test_part import open_labelled_folder

IMAGES_FOR_OPERATIONS = 8


def pack_checkpoint(
    checkpoint: Path, output: Path, data: Path | None = None, num_images: int = 200
) -> Written:
    """Pack a network file into `output`, once it is checked on images.

    Every operation is compared with torch on a few images, the logits on `num_images` of the
    images below `data`, or else of the search split that the network was trained beside; on those
    whose logits differ, every operation again.

    Raises:
        UserError: a damaged file, a layer without a packed operation, or no images.
        Refused: the packed network computes something else.
    """
    trained = open_checkpoint(checkpoint, output)
    seen = trained.normalisation
    with naming(checkpoint):
        packed = pack(trained.network, seen.mean, seen.std, trained.class_names, trained.view)
    images = check_images(trained, checkpoint, data, num_images)
    with naming(checkpoint):
        operations = check_operations(trained.network, packed, images[:IMAGES_FOR_OPERATIONS])
    if wrong := [check for check in operations if not check.ok]:
        first = wrong[0]
        raise Refused(
            f"{output} is not written: {len(wrong)} of {len(operations)} operations differ from "
            f"torch; first '{first.name}': {first.wrong_counts} wrong counts, relative error "
            f"{first.error:.2g}"
        )
    with naming(checkpoint):
        classes = check_classes(trained.network, packed, images.split(BATCH))
    if not classes.ok:
        raise Refused(f"{output} is not written: {classes.refusal()}")
    packed_file.save(output, packed)
    parameters = packed.parameters
    figures = {
        "file": str(output),
        "bytes": output.stat().st_size,
        "parameter_bytes": parameters.bits.nbytes + parameters.reals.nbytes,
        "operations": len(operations),
        "max_operation_error": max(check.error for check in operations),
        **classes.as_dict(),
    }
    return Written(output, (output,), figures)


def evaluate_packed(
    model: Path, data: Path | None = None, against: Path | None = None, *, strict: bool = False
) -> dict[str, Any]:
    """Score a packed model on labelled images; compare it with the network file it came from.

    The images are those of class folders in `data`, or the test split of the network file.
    `strict`: none of them may be one that the network was trained on.

    Raises:
        UserError: a damaged file, other classes, neither `data` nor `against`, a test split that
            has changed since the network was trained.
    """
    packed = packed_file.load(model)
    trained = None if against is None else open_network(against)
    if trained is not None and trained.class_names != packed.class_names:
        raise UserError(f"--against {against}: its classes are not those of {model}")
    if data is not None:
        images = open_labelled_folder(data, view_of(packed, model), packed.class_names)
        if strict and trained is None:
            raise UserError(
                f"--strict: {model} names no training images; give --against CHECKPOINT"
            )
        test = TestImages(images, None)
        if trained is not None and against is not None:
            test = beside_training(trained, against, images, data, strict=strict)
    elif trained is not None and against is not None:
        test = open_test_split(trained, against, strict=strict, advice=OTHER_IMAGES)
    else:
        raise UserError(
            f"{model}: a packed model names no data set; give --data DIR, or --against CHECKPOINT "
            "for the test split of the network it was packed from"
        )
    result: dict[str, Any] = {
        "model": str(model),
        "data": str(data) if data is not None else f"{trained.data.name} (test split)",  # type: ignore[union-attr]
        **in_full(_score(packed, test.images), test),
        "backend": packed.backend,
    }
    if trained is not None:
        batches = (
            trained.normalisation.apply(pixels)
            for pixels, _ in test.images.batches(torch.arange(len(test.images)), BATCH)
        )
        result["against"] = check_classes(trained.network, packed, batches).as_dict()
    return result


def _score(packed: PackedNetwork, images: ImageSet) -> dict[str, Any]:
    """Top-1, top-5 and balanced top-1 in percent, and the counts of each class."""
    hits = np.zeros(2)
    predicted, asked = [], []
    for pixels, labels in _evaluation_batches(packed, images):
        ranked = np.argsort(-packed(pixels), axis=1, kind="stable")
        found = ranked == labels[:, None]
        hits += found[:, :1].any(1).sum(), found[:, :5].any(1).sum()
        predicted.append(ranked[:, 0])
        asked.append(labels)
    top1, top5 = (100 * hits / len(images)).tolist()
    known, answers = (torch.from_numpy(np.concatenate(one)) for one in (asked, predicted))
    classes = count_classes(known, answers, packed.class_names)
    return {"top1": top1, "top5": top5, "balanced_top1": balanced_top1(classes), "classes": classes}


def _evaluation_batches(
    packed: PackedNetwork, images: ImageSet
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    preprocessing = packed.preprocessing
    seen = Normalisation(preprocessing.mean, preprocessing.std, packed.plan.size)
    for pixels, labels in images.batches(torch.arange(len(images)), BATCH):
        yield seen.apply(pixels).numpy(), labels.numpy()

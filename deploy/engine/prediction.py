"""The classes that a packed network sees in image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.engine.packed_network import PackedNetwork
from deploy.kernels.shapes import Floats
from supernet.files import UserError
from supernet.files.image_file import read_for_network
from supernet.finite import demand_finite


def predict_files(
    network: PackedNetwork, files: Sequence[Path], top: int = 5
) -> tuple[list[dict[str, Any]], list[str]]:
    """The `top` most probable classes of each image, and in words the files that are no image.

    An image is resized and cropped as in evaluation.

    Raises:
        UserError: the network takes neither grey nor colour images.
    """
    plan, names = network.plan, network.class_names
    if plan.channels not in (1, 3):
        raise UserError(f"this network takes {plan.channels} channels; image files have 1 or 3")
    predictions, failures = [], []
    for file in files:
        try:
            pixels = read_for_network(file, plan.size, plan.channels)
        except UserError as error:
            failures.append(str(error))
            continue
        logits = network(pixels[None])
        demand_finite(logits)
        shares = _softmax(logits[0])
        order = np.argsort(-shares, kind="stable")[:top]
        best = [{"class": names[i], "probability": float(shares[i])} for i in order]
        predictions.append({"image": str(file), "top": best})
    return predictions, failures


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()

"""The classes that a packed network sees in image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.engine.packed_network import PackedNetwork
from deploy.kernels.shapes import Floats
from supernet.files import UserError
from supernet.files.image_view import CHANNELS, View
from supernet.finite import demand_finite


def predict_files(
    network: PackedNetwork, files: Sequence[Path], top: int = 5
) -> tuple[list[dict[str, Any]], list[str]]:
    """The `top` most probable classes of each image, and in words the files that are no image.

    Raises:
        UserError: the network takes neither grey nor colour images.
    """
    view, names = view_of(network), network.class_names
    predictions, failures = [], []
    for file in files:
        try:
            pixels = view.read(file)
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


def view_of(network: PackedNetwork, name: str | Path = "this packed model") -> View:
    """How an image file becomes what the network takes; of a file that does not say it, as before.

    Raises:
        UserError: the network takes neither grey nor colour images.
    """
    if network.view is not None:
        return network.view
    plan = network.plan
    if plan.channels not in CHANNELS:
        raise UserError(f"{name}: takes {plan.channels} channels; image files have 1 or 3")
    return View.taken(name, plan.size, plan.channels)


def _softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()

"""A trained network as a file whose binary weights are exactly -1 and +1, checked on images.

Rounding may turn a sign that lies at its threshold, and a turned sign changes everything after it.
So layers are compared on identical input, those of all images whose logits differ among them;
classes are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from deploy import packed_file
from deploy.checking import MAX_LOGIT_DIFFERENCE, TOLERANCE
from deploy.exporters import FORMATS
from evaluate.shipping.checked_images import BATCH, check_images, open_checkpoint
from evaluate.shipping.written import Refused, Written
from supernet.exact_signs import fold_scale
from supernet.files import UserError
from supernet.network import Network, binary_parts
from training.network_file import save_network

IMAGES_FOR_LAYERS = 8


def export_signs(
    checkpoint: Path, output: Path, data: Path | None = None, num_images: int = 200
) -> Written:
    """Write a network file into `output` with the signs of the weights in `checkpoint`.

    BatchNorm takes their scale; all else that describes the network stays. Both are compared
    before, on `num_images` of the images below `data`, or else of the search split.

    Raises:
        UserError: a packed model, a damaged file, a convolution that is not binary, or no images.
        Refused: a layer gives other values than before.
    """
    if packed_file.is_packed(checkpoint):
        others = ", ".join([*FORMATS, "c"])
        raise UserError(
            f"{checkpoint}: a packed model holds signs already; give --format one of {others}"
        )
    trained = open_checkpoint(checkpoint, output)
    try:
        folded = fold_scale(trained.network)
    except UserError as error:
        raise UserError(f"{checkpoint}: {error}") from error
    images = check_images(trained, checkpoint, data, num_images)
    expected, found = _logits(trained.network, images), _logits(folded, images)
    differences = (expected - found).abs().amax(1)
    differ = ~(differences <= MAX_LOGIT_DIFFERENCE)
    errors = layer_errors(
        trained.network, folded, torch.cat([images[:IMAGES_FOR_LAYERS], images[differ]])
    )
    if wrong := [name for name, value in errors.items() if value > TOLERANCE]:
        raise Refused(
            f"{output} is not written: layer '{wrong[0]}' differs by {errors[wrong[0]]:.2g} of its "
            f"greatest value, expected {TOLERANCE:.0e} at most"
        )
    save_network(output, replace(trained, network=folded))
    figures = {
        "file": str(output),
        "bytes": output.stat().st_size,
        "binary_weights": sum(part.conv.weight.numel() for _, part in binary_parts(folded)),
        # Of values on identical input, over their greatest magnitude.
        "max_layer_error": max(errors.values(), default=0.0),
        "images": len(images),
        "same_class": int((expected.argmax(1) == found.argmax(1)).sum()),
        "logits_differ": int(differ.sum()),
        "max_logit_difference": float(differences.max()),
    }
    return Written(output, (output,), figures)


def layer_errors(network: Network, folded: Network, images: Tensor) -> dict[str, float]:
    """Of every binary layer its greatest difference, both fed what the layer of `network` reads.

    Relative to the greatest magnitude in a batch; `images` are normalised, (N, C, S, S).
    """
    errors: dict[str, float] = {}
    twins = dict(binary_parts(folded))

    def compare(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], expected: Tensor) -> None:
            difference = float((twins[name](*inputs) - expected).abs().max())
            error = difference / (float(expected.abs().max()) or 1.0)
            errors[name] = max(errors.get(name, 0.0), math.inf if math.isnan(error) else error)

        return hook

    parts = binary_parts(network)
    hooks = [part.register_forward_hook(compare(name)) for name, part in parts]
    try:
        _logits(network, images)
    finally:
        for hook in hooks:
            hook.remove()
    return errors


def _logits(network: Network, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in images.split(BATCH)])

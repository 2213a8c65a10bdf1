"""A trained network as a file whose binary weights are exactly -1 and +1, checked on images.

Rounding may turn a sign that lies at its threshold, and a turned sign changes everything after it.
So layers are compared on identical input, those of all images whose logits differ among them;
classes are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deploy.checking import MAX_LOGIT_DIFFERENCE, TOLERANCE
from evaluate.shipping.checked_images import check_images, open_checkpoint
from supernet.exact_signs import fold_scale
from supernet.files import UserError
from supernet.network import Network, binary_parts
from training.network_file import save_network

BATCH = 50
IMAGES_FOR_LAYERS = 8


class ExportRefused(Exception):
    """The network of signs does not compute what the trained one does; nothing is written."""


@dataclass(frozen=True)
class ExportedSigns:
    """A network file that was written, and how it compares with the one it was made of."""

    file: Path
    bytes: int
    binary_weights: int
    max_layer_error: float
    """Greatest difference of a layer's values on identical input, over the greatest magnitude."""
    images: int
    same_class: int
    logits_differ: int
    """Images with a logit that differs by more than 1e-4."""
    max_logit_difference: float

    def as_dict(self) -> dict[str, Any]:
        """The figures, JSON-able."""
        return {**asdict(self), "file": str(self.file)}


def export_signs(
    checkpoint: Path, output: Path, data: Path | None = None, num_images: int = 200
) -> ExportedSigns:
    """Write a network file into `output` with the signs of the weights in `checkpoint`.

    BatchNorm takes their scale; all else that describes the network stays. Both are compared
    before, on `num_images` of the images below `data`, or else of the search split.

    Raises:
        UserError: a damaged file, a convolution that is not binary, or no images.
        ExportRefused: a layer gives other values than before.
    """
    trained = open_checkpoint(checkpoint, output)
    try:
        folded = fold_scale(trained.network)
    except UserError as error:
        raise UserError(f"{checkpoint}: {error}") from error
    images = check_images(trained, data, num_images)
    expected, found = _logits(trained.network, images), _logits(folded, images)
    differences = (expected - found).abs().amax(1)
    differ = ~(differences <= MAX_LOGIT_DIFFERENCE)
    errors = layer_errors(
        trained.network, folded, torch.cat([images[:IMAGES_FOR_LAYERS], images[differ]])
    )
    if wrong := [name for name, value in errors.items() if value > TOLERANCE]:
        raise ExportRefused(
            f"{output} is not written: layer '{wrong[0]}' differs by {errors[wrong[0]]:.2g} of its "
            f"greatest value, expected {TOLERANCE:.0e} at most"
        )
    save_network(output, replace(trained, network=folded))
    return ExportedSigns(
        output,
        output.stat().st_size,
        sum(part.conv.weight.numel() for _, part in binary_parts(folded)),
        max(errors.values(), default=0.0),
        len(images),
        int((expected.argmax(1) == found.argmax(1)).sum()),
        int(differ.sum()),
        float(differences.max()),
    )


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

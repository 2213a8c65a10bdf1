"""What is equal between the kernels of two instruction sets: logits, classes, signs, counts.

The models of the zoo on embedded training images, each instruction set of this machine against the
portable kernels. Counts of binary convolutions are of the same maps, the portable kernels' own.

    python -m benchmarks.instruction_sets
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import write_result
from deploy import packed_file
from deploy.engine.packed_network import PackedNetwork
from deploy.kernels import library
from deploy.kernels.packed_conv import BinaryConv
from deploy.kernels.shapes import Floats
from deploy.kernels.signs import binarize
from deploy.plan.parameters import operation_parameters
from deploy.zoo_models import zoo_models
from training.data.config import DataConfig
from training.data.fashion_mnist import read_mini

IMAGES = 2000
LOOKED_INTO = 100
"""Images of which every value is compared, not the logits alone."""
PLAIN = "portable"


def main() -> None:
    """Compare, and write the result."""
    part = read_mini(DataConfig(name="fashion-mnist-mini", image_size=32), "train")
    images = part.read(torch.arange(min(IMAGES, len(part))))[0].numpy()
    others = [isa for isa in library.backend_info()["available_isas"] if isa != PLAIN]
    found: dict[str, Any] = {}
    for model in zoo_models():
        name = model["name"]
        found[name] = {isa: compared(name, isa, images) for isa in others}
    sizes = {"images": len(images), "looked_into": LOOKED_INTO}
    write_result("instruction_sets", {"against": PLAIN, **sizes, "models": found})


def compared(model: str, isa: str, images: np.ndarray) -> dict[str, Any]:
    """What is equal, bit for bit, and how far apart the rest is."""
    few = images[:LOOKED_INTO]
    with chosen(PLAIN):
        network = packed_file.load(packed_file.find_model(model))
        logits, values = network(images), network.values(few)
        plain_counts = [*counts(network, values)]
    with chosen(isa):
        network = packed_file.load(packed_file.find_model(model))
        found, found_values = network(images), network.values(few)
        found_counts = [*counts(network, values)]
    apart = np.abs(logits - found)
    turned = [
        int(((values[source] >= limits) != (found_values[source] >= limits)).sum())
        for source, limits in read_signs(network)
    ]
    return {
        "logits": int(apart.size),
        "logits_equal": int((apart == 0).sum()),
        "images_of_equal_logits": int((apart == 0).all(axis=1).sum()),
        "max_logit_difference": float(apart.max()),
        "max_logit": float(np.abs(logits).max()),
        "classes_equal": int((logits.argmax(1) == found.argmax(1)).sum()),
        "signs": sum(values[source].size for source, _ in read_signs(network)),
        "signs_turned": sum(turned),
        "counts": sum(each.size for each in plain_counts),
        "counts_equal": all(map(np.array_equal, plain_counts, found_counts)),
    }


def read_signs(network: PackedNetwork) -> Iterator[tuple[int, Floats]]:
    """Of each binary convolution the number of the value that it reads, and the thresholds."""
    plan = network.plan
    arrays = operation_parameters(plan, network.parameters)
    for operation, own in zip(plan.operations, arrays, strict=True):
        if operation.kind == "binary_conv":
            channels = plan.shapes()[operation.source].channels
            yield operation.source, own.get("thresholds", np.zeros(channels, np.float32))


def counts(network: PackedNetwork, values: list[Floats]) -> Iterator[Floats]:
    """Those of each binary convolution, of maps that are given, by the kernels in use."""
    plan = network.plan
    arrays, limits = operation_parameters(plan, network.parameters), read_signs(network)
    for operation, own in zip(plan.operations, arrays, strict=True):
        if operation.kind == "binary_conv":
            source, threshold = next(limits)
            shape, pad = operation.conv_shape(plan.shapes()[source]), operation.pad_value
            conv = BinaryConv.from_packed(own["bits"].copy(), shape, pad)  # type: ignore[arg-type]
            yield conv.counts(binarize(values[source], threshold, operation.padding))


@contextmanager
def chosen(isa: str) -> Iterator[None]:
    """The kernels of one instruction set; afterwards those from before."""
    before = library.backend_info()["isa"]
    assert before is not None, "the compiled kernels are not installed"
    library.select_isa(isa)
    try:
        yield
    finally:
        library.select_isa(before)


if __name__ == "__main__":
    main()

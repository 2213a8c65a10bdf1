"""Does a packed network compute what its torch network computes? Operation by operation, and whole.

Rounding before a sign may flip it, and a flipped sign changes everything after it. So operations
are compared on identical input, and whole networks by their classes; an image whose logits differ
is traced to the first signs that differ, which must lie within rounding distance of the threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from deploy.engine.packed_network import PackedNetwork
from deploy.kernels.packed_conv import BinaryConv
from deploy.kernels.shapes import Floats
from deploy.kernels.signs import binarize
from deploy.lowering.network import by_torch
from deploy.plan.parameters import Parameters, operation_parameters
from deploy.plan.plan import MapShape, Operation, Plan
from supernet.layers.sign import hard_sign
from supernet.network import Network, binary_parts

TOLERANCE = 1e-5
"""Greatest difference of a real value, relative to the greatest magnitude in its map."""

MAX_LOGIT_DIFFERENCE = 1e-4
MIN_SAME_CLASS = 0.999


class RunsPlan(Protocol):
    """A plan on any runtime: what `PackedNetwork` has."""

    @property
    def plan(self) -> Plan: ...

    @property
    def parameters(self) -> Parameters: ...

    def __call__(self, images: Floats) -> Floats: ...

    def values(self, images: Floats) -> list[Floats]: ...


@dataclass(frozen=True)
class OperationCheck:
    """One operation of a plan against torch, fed identical input."""

    name: str
    error: float
    """Greatest difference, relative to the greatest magnitude in the map."""
    wrong_counts: int
    """Integer counts that differ; there must be none."""

    @property
    def ok(self) -> bool:
        """Whether it computes what torch does."""
        return self.error <= TOLERANCE and self.wrong_counts == 0


@dataclass
class ClassCheck:
    """Whole networks on images: classes, and the images whose logits differ."""

    images: int = 0
    same_class: int = 0
    differing: int = 0
    """Images with a logit that differs by more than 1e-4."""
    untraced: int = 0
    """Of these, images whose first differing sign is not within rounding of its threshold."""
    max_logit_difference: float = 0.0
    where: dict[str, int] = field(default_factory=dict)
    """The operations where the traced images' signs first differ, with the number of images."""

    @property
    def same_class_share(self) -> float:
        """Share of images with the same class."""
        return self.same_class / max(self.images, 1)

    @property
    def ok(self) -> bool:
        """At least 99.9 % of the images keep their class, and every difference is traced."""
        return self.same_class_share >= MIN_SAME_CLASS and self.untraced == 0

    def as_dict(self) -> dict[str, Any]:
        """The figures, JSON-able."""
        return {
            "images": self.images,
            "same_class": self.same_class,
            "same_class_share": self.same_class_share,
            "logits_differ": self.differing,
            "untraced": self.untraced,
            "max_logit_difference": self.max_logit_difference,
        }


def check_operations(
    network: Network, packed: PackedNetwork, images: Tensor
) -> list[OperationCheck]:
    """Compare every operation with the layers of `network`, on the packed network's own values.

    `images` are fp32 and normalised, (N, C, S, S).
    """
    values = packed.values(images.numpy())
    arrays = operation_parameters(packed.plan, packed.parameters)
    checks = []
    with torch.inference_mode():
        for number, operation in enumerate(packed.plan.operations):
            source = values[operation.source]
            added = None if operation.add is None else _nchw(values[operation.add])
            found = _nchw(values[number + 1])
            expected = by_torch(network, operation, _nchw(source), added).reshape(found.shape)
            magnitude = float(expected.abs().max()) or 1.0
            error = float((found - expected).abs().max()) / magnitude
            wrong = 0
            if operation.kind == "binary_conv":
                wrong = _wrong_counts(network, operation, source, arrays[number])
            checks.append(OperationCheck(operation.name, error, wrong))
    return checks


def check_classes(
    network: Network | PackedNetwork, packed: RunsPlan, batches: Iterable[Tensor]
) -> ClassCheck:
    """Compare classes and logits on batches of fp32, normalised images (N, C, S, S).

    `network` is right: the torch network, or a packed one that was found equal to it.
    """
    check = ClassCheck()
    for images in batches:
        logits, inputs = _with_inputs(network, images)
        found = torch.from_numpy(packed(images.numpy()))
        difference = (logits - found).abs().amax(1)
        check.images += len(images)
        check.same_class += int((logits.argmax(1) == found.argmax(1)).sum())
        check.max_logit_difference = max(check.max_logit_difference, float(difference.max()))
        differing = (~(difference <= MAX_LOGIT_DIFFERENCE)).nonzero().flatten()
        if len(differing) == 0:
            continue
        check.differing += len(differing)
        values = packed.values(images[differing].numpy())
        for row, image in enumerate(differing.tolist()):
            name = _first_flips_at(packed, inputs, values, image, row)
            if name is None:
                check.untraced += 1
            else:
                check.where[name] = check.where.get(name, 0) + 1
    return check


def _first_flips_at(
    packed: RunsPlan, inputs: dict[str, Tensor], values: list[Floats], image: int, row: int
) -> str | None:
    """The first operation whose input signs differ, if all of these lie at the threshold."""
    arrays = operation_parameters(packed.plan, packed.parameters)
    for operation, own in zip(packed.plan.operations, arrays, strict=True):
        if operation.kind != "binary_conv":
            continue
        expected = inputs[operation.name][image]
        limits = torch.from_numpy(_thresholds(own, len(expected))).view(-1, 1, 1)
        found = _nchw(values[operation.source][row : row + 1])[0]
        flipped = (expected >= limits) != (found >= limits)
        if flipped.any():
            distances = torch.maximum((expected - limits).abs(), (found - limits).abs())
            distance = distances[flipped].max()
            near = float(distance) <= TOLERANCE * float(expected.abs().max())
            return operation.name if near else None
    return None


def _with_inputs(
    network: Network | PackedNetwork, images: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the input of every binary convolution by the name of its part."""
    inputs: dict[str, Tensor] = {}
    if isinstance(network, PackedNetwork):
        values = network.values(images.numpy())
        for operation in network.plan.operations:
            inputs[operation.name] = _nchw(values[operation.source])
        return torch.from_numpy(network(images.numpy())), inputs

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs[name] = arguments[0]

        return hook

    parts = binary_parts(network)
    hooks = [part.register_forward_pre_hook(keep(name)) for name, part in parts]
    try:
        with torch.inference_mode():
            return network(images), inputs
    finally:
        for hook in hooks:
            hook.remove()


def _wrong_counts(
    network: Network, operation: Operation, source: Floats, arrays: dict[str, np.ndarray]
) -> int:
    """Counts that differ from torch's convolution of signs with signs, which is exact in fp32."""
    unit: Any = network.get_submodule(operation.name)
    conv: Any = unit.conv
    height, width, channels = source.shape[1:]
    limits = _thresholds(arrays, channels)
    signs = _nchw(np.where(source >= limits, np.float32(1), np.float32(-1)))
    signs = F.pad(signs, (conv.padding,) * 4, value=float(conv.pad_value))
    expected = F.conv2d(signs, hard_sign(conv.latent()), None, conv.stride, 0, 1, conv.groups)
    shape = operation.conv_shape(MapShape(height, width, channels))
    packed = BinaryConv.from_packed(arrays["bits"], shape, operation.pad_value)  # type: ignore[arg-type]
    counts = packed.counts(binarize(source, limits, operation.padding))
    return int((_nchw(counts) != expected).sum())


def _thresholds(arrays: dict[str, np.ndarray], channels: int) -> Floats:
    """Where the signs of each channel change: 0 where none are stored."""
    return arrays.get("thresholds", np.zeros(channels, np.float32))


def _nchw(array: np.ndarray) -> Tensor:
    """(N, H, W, C) as a contiguous (N, C, H, W) tensor."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2)))

"""Does a packed network compute what its torch network computes? Operation by operation, and whole.

Rounding before a sign may turn it where it lies at its threshold, and a turned sign changes
everything after it. So operations are compared on identical input, and whole networks by their
logits. An image whose logits differ is looked into: where each operation, given the packed
network's own values of that image, computes what it should, rounding alone is left, and a turned
sign explains the difference. How many images that are is said, and decides nothing.
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
from deploy.engine.reference import ReferenceOperation
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
"""An image with a logit that differs by more is looked into, operation by operation."""


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
    """Of these, images of which an operation computes something else from identical input, or whose
    logits are not what the operations give: no sign at its threshold explains them."""
    max_logit_difference: float = 0.0
    where: dict[str, int] = field(default_factory=dict)
    """The operations whose input signs differ first in the other differing images, with their
    number."""
    wrong: str = ""
    """The first operation that computes something else."""

    @property
    def same_class_share(self) -> float:
        """Share of images with the same class."""
        return self.same_class / max(self.images, 1)

    @property
    def ok(self) -> bool:
        """Every difference is explained, whatever their number."""
        return self.images > 0 and self.untraced == 0

    def as_dict(self) -> dict[str, Any]:
        """The figures, JSON-able."""
        turned = ", ".join(f"{name} ({count})" for name, count in self.where.items())
        return {
            "images": self.images,
            "same_class": self.same_class,
            "same_class_share": self.same_class_share,
            "logits_differ": self.differing,
            **({"signs_turned_at": turned} if turned else {}),
            "untraced": self.untraced,
            "max_logit_difference": self.max_logit_difference,
        }

    def refusal(self) -> str:
        """What is wrong, in words."""
        where = f", the first in '{self.wrong}'" if self.wrong else ""
        return (
            f"{self.same_class} of {self.images} images keep their class; {self.untraced} differ "
            f"without a sign at its threshold{where}"
        )


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
            error = _relative_error(found.numpy(), expected.numpy())
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
    right = _right_operations(network, packed.plan)
    for images in batches:
        logits, inputs = _with_inputs(network, images)
        found = torch.from_numpy(packed(images.numpy()))
        difference = (logits - found).abs().amax(1)
        check.images += len(images)
        check.same_class += int((logits.argmax(1) == found.argmax(1)).sum())
        check.max_logit_difference = max(check.max_logit_difference, float(difference.max()))
        differing = (~(difference <= MAX_LOGIT_DIFFERENCE)).nonzero().flatten()
        check.differing += len(differing)
        for image in differing.tolist():
            values = packed.values(images[image : image + 1].numpy())
            wrong = _first_wrong(right, packed.plan, values, found[image])
            if wrong is not None:
                check.untraced += 1
                check.wrong = check.wrong or wrong
            elif (turned := _first_turned(packed, inputs, values, image)) is not None:
                check.where[turned] = check.where.get(turned, 0) + 1
    return check


RightOperation = Callable[[Floats, Floats | None], Floats]
"""What an operation should give: its source and what it adds to its value, all (N, H, W, C)."""


def _right_operations(network: Network | PackedNetwork, plan: Plan) -> list[RightOperation]:
    """For each operation of `plan` what the right network computes in its place."""
    if isinstance(network, PackedNetwork):
        shapes, arrays = plan.shapes(), operation_parameters(plan, network.parameters)
        return [
            ReferenceOperation(operation, shapes[operation.source], own)
            for operation, own in zip(plan.operations, arrays, strict=True)
        ]

    def of(operation: Operation) -> RightOperation:
        def run(source: Floats, added: Floats | None) -> Floats:
            given = None if added is None else _nchw(added)
            with torch.inference_mode():
                found = by_torch(network, operation, _nchw(source), given)
            maps = found.reshape(*found.shape[:2], *(found.shape[2:] or (1, 1)))
            return np.ascontiguousarray(maps.permute(0, 2, 3, 1).numpy())

        return run

    return [of(operation) for operation in plan.operations]


def _first_wrong(
    right: list[RightOperation], plan: Plan, values: list[Floats], logits: Tensor
) -> str | None:
    """The first operation that does not give what it should from the same input, for one image.

    Values that are right, and logits that are not theirs, are the last operation's fault.
    """
    for operation, compute, found in zip(plan.operations, right, values[1:], strict=True):
        added = None if operation.add is None else values[operation.add]
        expected = compute(values[operation.source], added)
        if not _relative_error(found, expected) <= TOLERANCE:
            return operation.name
    given = values[-1].reshape(-1)
    magnitude = max(1.0, float(np.abs(given).max()))
    if not float(np.abs(logits.numpy() - given).max()) <= MAX_LOGIT_DIFFERENCE * magnitude:
        return plan.operations[-1].name
    return None


def _relative_error(found: Floats, expected: Floats) -> float:
    """Greatest difference, relative to the greatest magnitude in the map."""
    magnitude = float(np.abs(expected).max()) or 1.0
    return float(np.abs(found - expected.reshape(found.shape)).max()) / magnitude


def _first_turned(
    packed: RunsPlan, inputs: dict[str, Tensor], values: list[Floats], image: int
) -> str | None:
    """The first operation whose input signs are others than in the right network, if any are."""
    arrays = operation_parameters(packed.plan, packed.parameters)
    for operation, own in zip(packed.plan.operations, arrays, strict=True):
        if operation.kind != "binary_conv":
            continue
        expected = inputs[operation.name][image]
        limits = torch.from_numpy(_thresholds(own, len(expected))).view(-1, 1, 1)
        found = _nchw(values[operation.source])[0]
        if bool(((expected >= limits) != (found >= limits)).any()):
            return operation.name
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

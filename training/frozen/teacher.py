"""A frozen network that teaches: fed with the student's images, asked for its logits alone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from supernet.files import UserError
from training.data.normalisation import Normalisation
from training.frozen.config import DistillationConfig
from training.frozen.frozen_network import FrozenNetwork, feeding
from training.frozen.sources import check_torchvision, own_function, read_source


class Teacher(FrozenNetwork):
    """Logits (N, classes) of images that are normalised for the student, (N, C, H, W)."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.feed(x)


def open_teacher(
    config: DistillationConfig, seen: Normalisation, *, num_classes: int, device: torch.device
) -> Teacher:
    """The teacher of a student of these classes that sees images as `seen`.

    Draws nothing from torch's random stream.

    Raises:
        UserError: the teacher cannot be found or read, or does not fit the student.
    """
    name = config.teacher
    check_teacher(config, num_classes=num_classes, in_channels=seen.channels)
    with torch.random.fork_rng(devices=[]):
        source = read_source(config.network, seen, num_classes)
    if source.spec is not None:
        for what, found, expected in (
            ("classes", source.spec.num_classes, num_classes),
            ("channels", source.spec.in_channels, seen.channels),
            ("pixels a side", source.seen.size, seen.size),
        ):
            if found != expected:
                raise UserError(f"teacher {name} has {found} {what}, the student {expected}")
    with feeding(config.network, seen.channels, seen.size):
        teacher = Teacher(source, seen, device)
        logits = teacher(torch.zeros(2, seen.channels, seen.size, seen.size, device=device))
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (2, num_classes):
        raise UserError(
            f"teacher {name} gives {shape} for 2 images, "
            f"expected logits of the student's classes, {(2, num_classes)}"
        )
    return teacher


def check_teacher(config: DistillationConfig, *, num_classes: int, in_channels: int) -> None:
    """What can be told about a teacher before work starts, without reading weights.

    Raises:
        UserError: an unknown name, a missing file, or other classes or channels.
    """
    network = config.network
    match network.kind:
        case "network":
            _check_file(Path(network.name), "teacher")
        case "own":
            own_function(network)
        case "torchvision":
            check_torchvision(network, num_classes=num_classes, in_channels=in_channels)
    if network.weights is not None:
        _check_file(network.weights, "distillation.weights")


def _check_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise UserError(f"{what} {path}: there is no such file")

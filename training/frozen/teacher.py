"""A frozen network that teaches: fed with the student's images, asked for its logits alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from supernet.files import UserError
from training.frozen.config import DistillationConfig
from training.frozen.sources import (
    Source,
    Student,
    check_torchvision,
    own_function,
    read_network,
    read_own,
    read_torchvision,
)


class Teacher:
    """Logits (N, classes) of images that are normalised for the student, (N, C, H, W).

    In evaluation mode and without gradient; BatchNorm statistics stay. Under bf16 autocast on a
    GPU that multiplies bf16, else in fp32.
    """

    def __init__(self, source: Source, student: Student, device: torch.device) -> None:
        module = source.module.eval().requires_grad_(False)
        self.module = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        # x = (p - mean) / std; the teacher wants (p - m) / s = x * (std / s) + (mean - m) / s
        self._scale_shift: tuple[Tensor, Tensor] | None = None
        if (student.mean, student.std) != (source.mean, source.std):
            std, s = torch.tensor(student.std), torch.tensor(source.std)
            shift = (torch.tensor(student.mean) - torch.tensor(source.mean)) / s
            self._scale_shift = (_per_channel(std / s, device), _per_channel(shift, device))

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        if self._scale_shift is not None:
            scale, shift = self._scale_shift
            x = x * scale + shift
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return self.module(x)


def open_teacher(
    config: DistillationConfig,
    *,
    num_classes: int,
    in_channels: int,
    mean: Sequence[float],
    std: Sequence[float],
    size: int,
    device: torch.device,
) -> Teacher:
    """The teacher of a student of these classes, channels, normalisation and image size.

    Draws nothing from torch's random stream.

    Raises:
        UserError: the teacher cannot be found or read, or does not fit the student.
    """
    check_teacher(config, num_classes=num_classes, in_channels=in_channels)
    student = Student(num_classes, in_channels, tuple(mean), tuple(std), size)
    with torch.random.fork_rng(devices=[]):
        source = _read(config, student)
    try:
        teacher = Teacher(source, student, device)
        logits = teacher(torch.zeros(2, in_channels, size, size, device=device))
    except Exception as error:
        raise UserError(
            f"teacher {config.teacher} cannot be fed with {in_channels} channels of "
            f"{size} x {size} pixels ({type(error).__name__}: {error})"
        ) from error
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (2, num_classes):
        raise UserError(
            f"teacher {config.teacher} gives {shape} for 2 images, "
            f"expected logits of the student's classes, {(2, num_classes)}"
        )
    return teacher


def check_teacher(config: DistillationConfig, *, num_classes: int, in_channels: int) -> None:
    """What can be told about a teacher before work starts, without reading weights.

    Raises:
        UserError: an unknown name, a missing file, or other classes or channels.
    """
    match config.kind:
        case "network":
            _check_file(Path(config.teacher), "teacher")
        case "own":
            own_function(config.teacher)
        case "torchvision":
            check_torchvision(
                config.teacher, config.weights, num_classes=num_classes, in_channels=in_channels
            )
    if config.weights is not None:
        _check_file(config.weights, "distillation.weights")


def _read(config: DistillationConfig, student: Student) -> Source:
    match config.kind:
        case "network":
            return read_network(Path(config.teacher), student)
        case "own":
            return read_own(config.teacher, config.weights, student)
        case "torchvision":
            return read_torchvision(config.teacher, config.weights, student)


def _check_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise UserError(f"{what} {path}: there is no such file")


def _per_channel(values: Tensor, device: torch.device) -> Tensor:
    """(C, 1, 1), to be broadcast over images."""
    return values.to(device).view(-1, 1, 1)

"""How long one uncompiled training step takes, and empty images to time passes with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.spec import NetworkSpec
from training.compilation import time_step


def zero_images(spec: NetworkSpec, count: int, device: torch.device) -> Tensor:
    """`count` black images of the network's input shape."""
    return torch.zeros(count, spec.in_channels, spec.image_size, spec.image_size, device=device)


def training_step_seconds(
    module: nn.Module, path: nn.Module, spec: NetworkSpec, batch_size: int, device: torch.device
) -> float:
    """Seconds of a forward and backward pass of `path`, a part of `module` or all of it.

    Moves `module` to the device; its parameters and buffers stay as they are.
    """
    module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = zero_images(spec, batch_size, device).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch_size, dtype=torch.long, device=device)
    return time_step(module, lambda: F.cross_entropy(path(x), labels).backward())

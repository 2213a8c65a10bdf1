"""A network that is not trained but asked about the images that another one is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from supernet.files import UserError
from training.data.normalisation import Normalisation
from training.device import place
from training.frozen.config import NamedNetwork
from training.frozen.sources import Source


class FrozenNetwork:
    """A source's module, fed with images (B, C, H, W) that are normalised as `given`.

    In evaluation mode and without gradient; BatchNorm statistics stay. Under bf16 autocast on a
    GPU that multiplies bf16, else in fp32.
    """

    def __init__(self, source: Source, given: Normalisation, device: torch.device) -> None:
        self.module = place(source.module.eval().requires_grad_(False), device)
        self.seen, self._device = source.seen, device
        self._bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        self._into_seen: tuple[Tensor, Tensor] | None = None
        if (given.mean, given.std) != (self.seen.mean, self.seen.std):
            factor, shift = given.into(self.seen)
            self._into_seen = factor.to(device), shift.to(device)

    @property
    def size(self) -> int:
        """Side of the images as it sees them, pixels."""
        return self.seen.size

    @torch.no_grad()
    def feed(self, x: Tensor) -> Any:
        """What the module gives for images, normalised and resized as it was trained."""
        if self._into_seen is not None:
            factor, shift = self._into_seen
            x = x * factor + shift
        if x.shape[2:] != (self.size, self.size):
            shrinks = x.shape[2] > self.size
            x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=shrinks)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            return self.module(x)

    def digest(self) -> str:
        """SHA-256 of its weights and of the normalisation of its images."""
        digest = hashlib.sha256(f"{(self.seen.mean, self.seen.std)}".encode())
        for name, tensor in self.module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()


@contextmanager
def feeding(network: NamedNetwork, channels: int, size: int) -> Iterator[None]:
    """Say of what goes wrong inside that the network cannot be fed with such images.

    Raises:
        UserError: anything went wrong.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{network.role} {network.name} cannot be fed with {channels} channels of "
            f"{size} x {size} pixels ({type(error).__name__}: {error})"
        ) from error

"""What each step trains on: which images, varied how. A pure function of seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from supernet.files import UserError
from training.augment.batch import Batch
from training.augment.config import AugmentConfig
from training.augment.crops import draw_crops
from training.augment.erase import erase
from training.augment.images import crop
from training.augment.mix import mix
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation
from training.processes.distributed import WHOLE, Part
from training.seeds import stream, torch_stream

if TYPE_CHECKING:
    from training.augment.attention import Attention


class Batched(Protocol):
    """Settings of a training in batches."""

    @property
    def batch_size(self) -> int:
        """Images a step."""


def steps_per_epoch(images: ImageSet, settings: Batched) -> int:
    """Full batches in one pass over `images`; the rest of an epoch's images is left out.

    Raises:
        UserError: there are fewer images than one batch.
    """
    if len(images) < settings.batch_size:
        raise UserError(
            f"batch_size {settings.batch_size} is larger than the {len(images)} training images"
        )
    return len(images) // settings.batch_size


class Images(NamedTuple):
    """A batch as it is stored: uint8 (B, C, S, S), class numbers (B,), and the images' own numbers.

    The numbers lie on the CPU.
    """

    pixels: Tensor
    labels: Tensor
    numbers: Tensor


@dataclass(frozen=True)
class Steps:
    """The steps of a phase: `epochs` times the images in an order of their own, in full batches.

    Raises:
        UserError: fewer images than one batch.
    """

    images: ImageSet
    batch_size: int
    epochs: int
    seed: int

    def __post_init__(self) -> None:
        steps_per_epoch(self.images, self)

    @property
    def per_epoch(self) -> int:
        """Full batches in one pass; the rest of an epoch's images is left out."""
        return steps_per_epoch(self.images, self)

    @property
    def total(self) -> int:
        """All steps."""
        return self.per_epoch * self.epochs

    def read(self, first: int, device: torch.device, own: Part = WHOLE) -> Iterator[Images]:
        """The batches of the steps from `first` on; of each batch this process's part."""
        step = first
        while step < self.total:
            epoch, within = divmod(step, self.per_epoch)
            order = torch.randperm(
                len(self.images), generator=torch_stream(self.seed, "order", epoch)
            )
            left = order[within * self.batch_size : self.per_epoch * self.batch_size]
            parts = own.of(left.view(-1, self.batch_size), 1)
            read = self.images.batches(parts.flatten(), self.batch_size // own.size, device)
            for (pixels, labels), numbers in zip(read, parts, strict=True):
                yield Images(pixels, labels, numbers)
            step = (epoch + 1) * self.per_epoch


@dataclass(frozen=True)
class Variation:
    """How a step's images become what the network sees: cropped and mirrored, erased, mixed.

    Each of the three has a stream of its own, so that one draws the same with or without another.
    attentive-cutmix needs `attention`.
    """

    config: AugmentConfig
    seen: Normalisation
    num_classes: int
    attention: Attention | None = None

    def __call__(self, images: Images, seed: int, step: int, own: Part = WHOLE) -> Batch:
        """The batch of a step; `images` are the part `own` of it, for which all is drawn."""
        config, pixels = self.config, images.pixels
        generator = torch_stream(seed, "augment", step)
        whole, side = len(pixels) * own.size, pixels.shape[3]
        crops = draw_crops(whole, side, config, self.seen.size, generator).part(own)
        x = crop(pixels, crops, config, self.seen)
        if config.erase is not None:
            x = erase(x, config.erase, torch_stream(seed, "erase", step), own)
        batch = Batch(x, images.labels)
        if config.mix:

            def attend(grid: int) -> Tensor:
                assert self.attention is not None
                return self.attention(x, images.numbers, crops, grid)

            rng = stream(seed, "mix", step)
            batch = mix(batch, config.mix, self.num_classes, rng, own, attend=attend)
        return Batch(batch.images.contiguous(memory_format=torch.channels_last), batch.labels)

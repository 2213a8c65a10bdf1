"""What each step trains on: which images, varied how. A pure function of seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

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


def read_batches(
    images: ImageSet,
    batch_size: int,
    own: Part,
    per_epoch: int,
    total: int,
    first: int,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The batches of steps first..total-1; an epoch is one permutation, cut into full batches.

    Of each batch this process reads its own part: uint8 images, class numbers, and on the CPU the
    images' own numbers.
    """
    step = first
    while step < total:
        epoch, within = divmod(step, per_epoch)
        order = torch.randperm(len(images), generator=torch_stream(seed, "order", epoch))
        left = order[within * batch_size : per_epoch * batch_size]
        parts = own.of(left.view(-1, batch_size), 1)
        read = images.batches(parts.flatten(), batch_size // own.size, device)
        for (pixels, labels), numbers in zip(read, parts, strict=True):
            yield pixels, labels, numbers
        step = (epoch + 1) * per_epoch


def vary(
    pixels: Tensor,
    labels: Tensor,
    config: AugmentConfig,
    normalisation: Normalisation,
    num_classes: int,
    seed: int,
    step: int,
    own: Part = WHOLE,
    numbers: Tensor | None = None,
    attention: Attention | None = None,
) -> Batch:
    """A step's images as the network sees them: cropped and mirrored, then erased, then mixed.

    Each of the three has a stream of its own, so that one draws the same with or without another.
    attentive-cutmix needs `attention`, and the images' `numbers` in the training set.
    """
    seen = normalisation
    generator = torch_stream(seed, "augment", step)
    drawn = draw_crops(len(pixels) * own.size, pixels.shape[3], config, seen.size, generator)
    crops = drawn.part(own)
    x = crop(pixels, crops, config, seen.mean, seen.std, seen.size)
    if config.erase is not None:
        x = erase(x, config.erase, torch_stream(seed, "erase", step), own)
    batch = Batch(x, labels)
    if config.mix:

        def attend(grid: int) -> Tensor:
            assert attention is not None and numbers is not None
            return attention(x, numbers, crops, grid)

        batch = mix(batch, config.mix, num_classes, stream(seed, "mix", step), own, attend=attend)
    return Batch(batch.images.contiguous(memory_format=torch.channels_last), batch.labels)

"""The images of a training's first steps as the network sees them, and their labels in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from training.augment.attention import open_attention
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation
from training.loop.batches import Steps, Variation
from training.loop.settings import TrainingSettings

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMNS = 4
SIDE = 128
"""Least side of an image on the sheet, and width of its words, pixels."""
LINE = 12
"""Height of a line of words, pixels."""


@dataclass(frozen=True, eq=False)
class SeenImage:
    """One image of step `step`: uint8 (C, H, W), and the share of each class in its label."""

    step: int
    pixels: Tensor
    shares: dict[str, float]


def seen_images(
    images: ImageSet,
    settings: TrainingSettings,
    normalisation: Normalisation,
    seed: int,
    count: int,
) -> list[SeenImage]:
    """The first `count` images that a training of `seed` sees, four of each step while steps last.

    Raises:
        UserError: fewer images than a batch, or one that cannot be decoded.
    """
    steps = Steps(images, settings.batch_size, settings.epochs, seed)
    # Four a step, more where the training is so short; no more than a batch holds.
    shown = min(-(-count // COLUMNS), steps.total)
    of_each = min(-(-count // shown), settings.batch_size)
    cpu, names = torch.device("cpu"), images.class_names
    attention = open_attention(settings.augment.mix, images, normalisation, cpu, may_write=False)
    vary = Variation(settings.augment, normalisation, len(names), attention)
    seen = []
    for step, read in enumerate(islice(steps.read(0, cpu), shown)):
        batch = vary(read, seed, step)
        shares = batch.labels
        if not shares.is_floating_point():
            shares = F.one_hot(shares, len(names)).float()
        levels = normalisation.levels(batch.images[:of_each])
        for image, row in zip(levels, shares.tolist(), strict=False):
            named = {name: share for name, share in zip(names, row, strict=True) if share > 0}
            seen.append(SeenImage(step, image, named))
    return seen[:count]


def sheet(seen: Sequence[SeenImage]) -> Image:
    """All images in rows of four, small ones enlarged, the shares of their classes below each."""
    from PIL import Image, ImageDraw

    side = seen[0].pixels.shape[1]
    side *= max(1, -(-SIDE // side))
    lines = max(len(one.shares) for one in seen)
    width, height, gap = side, side + lines * LINE + 2, 4
    rows = -(-len(seen) // COLUMNS)
    canvas = Image.new("RGB", (COLUMNS * (width + gap) + gap, rows * (height + gap) + gap), "white")
    draw = ImageDraw.Draw(canvas)
    for number, one in enumerate(seen):
        row, column = divmod(number, COLUMNS)
        left, top = gap + column * (width + gap), gap + row * (height + gap)
        colours = one.pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        image = Image.fromarray(colours).resize((side, side), Image.Resampling.NEAREST)
        canvas.paste(image, (left, top))
        for line, text in enumerate(words(one.shares)):
            # The font that comes with Pillow may hold Latin letters alone.
            text = text.encode("latin-1", "replace").decode("latin-1")
            draw.text((left, top + side + line * LINE), text, fill="black")
    return canvas


def words(shares: dict[str, float]) -> list[str]:
    """`12.5 % Bag`, one line a class, the largest share first."""
    falling = sorted(shares.items(), key=lambda item: -item[1])
    return [f"{100 * share:.1f} % {name}" for name, share in falling]

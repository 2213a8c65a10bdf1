"""Mix a batch with itself in another order, by at most one of the techniques of a config."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import torch
from torch import Tensor

from training.augment.attentive_cutmix import cell_mask, num_cells, top_cells
from training.augment.batch import Batch, blend, paste
from training.augment.config import MixConfig
from training.augment.cutmix import cut_mask
from training.augment.mixup import kept_share
from training.processes.distributed import WHOLE, Part, gather


def mix(
    batch: Batch,
    mixes: Sequence[MixConfig],
    num_classes: int,
    rng: Random,
    part: Part = WHOLE,
    gather: Callable[[Tensor], Tensor] = gather,
    attend: Callable[[int], Tensor] | None = None,
) -> Batch:
    """Mix each image with its partner, or return `batch` itself where the draw says so.

    Args:
        batch: labels are class numbers.
        mixes: of which one at most acts, each with its probability.
        num_classes: length of the labels returned.
        rng: equal states give equal results.
        part: which share of a batch this is. Partners come from the whole batch, by one permutation
            that all processes draw alike, so that a step is the same in any number of them.
        gather: the whole batch from all processes' parts; called only where a technique acts.
        attend: the attention (B, grid, grid) of the batch's images, for attentive-cutmix.

    Returns:
        Images and shares of classes, float32 (B, num_classes); class numbers where nothing acts.
    """
    config = choose(mixes, rng)
    if config is None:
        return batch
    whole = len(batch.labels) * part.size
    partners = part.of(torch.tensor(rng.sample(range(whole), whole)))
    donors = Batch(gather(batch.images), gather(batch.labels)).at(partners.to(batch.labels.device))
    if config.name == "mixup":
        return blend(batch, donors, kept_share(config.alpha, rng), num_classes)
    height, width = batch.images.shape[2:]
    if config.attention is not None:
        assert attend is not None
        cells = top_cells(attend(config.attention.grid), num_cells(config, rng))
        theirs = gather(cells.byte()).bool()[partners.to(cells.device)]
        return paste(batch, donors, cell_mask(theirs, height, width), num_classes)
    mask = cut_mask(height, width, config.alpha, rng)
    return paste(batch, donors, mask.to(batch.images.device), num_classes)


def choose(mixes: Sequence[MixConfig], rng: Random) -> MixConfig | None:
    """The technique that acts, each with its probability; None with what is left of 1."""
    drawn = rng.random()
    for config in mixes:
        if drawn < config.probability:
            return config
        drawn -= config.probability
    return None

"""How candidates are trained on before they are scored, and on which images."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from training.bounds import MAX_COUNT, MAX_FLOAT, MAX_IMAGES
from training.data.image_set import ImageSet
from training.optim import OptimiserConfig
from training.section import Section
from training.seeds import torch_stream


class AdaptConfig(Section):
    """How a candidate is trained on before it is scored.

    `steps` of `batch_size` training images each, by `optimiser` from `learning_rate`; the schedule
    runs over these steps.
    """

    steps: int = Field(35, ge=1, le=MAX_COUNT)
    batch_size: int = Field(64, ge=2, le=MAX_IMAGES)
    learning_rate: float = Field(1e-3, gt=0, le=MAX_FLOAT)
    optimiser: OptimiserConfig = OptimiserConfig(name="adamw")


def adapting_arrays(images: ImageSet, config: AdaptConfig, seed: int) -> dict[str, np.ndarray]:
    """The training images that candidates are trained on with, and the order in which.

    Drawn without putting back until the split is used up, then again; each is held once.
    """
    wanted, generator = config.steps * config.batch_size, torch_stream(seed, "adapting")
    epochs = -(-wanted // len(images))
    drawn = [torch.randperm(len(images), generator=generator) for _ in range(epochs)]
    order = torch.cat(drawn)[:wanted]
    kept, places = torch.unique(order, return_inverse=True)
    pixels, labels = images.read(kept)
    named = {"images": pixels, "labels": labels, "order": places}
    return {f"adapting/{name}": tensor.numpy() for name, tensor in named.items()}

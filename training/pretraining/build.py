"""From settings to a method, and from a batch of images to what it is shown."""

from __future__ import annotations

import torch
from torch import Tensor

from training.data.normalisation import Normalisation
from training.pretraining.byol import BYOL
from training.pretraining.config import PretrainConfig
from training.pretraining.encoder import Encoder
from training.pretraining.method import Method
from training.pretraining.moco import MoCo
from training.pretraining.simclr import SimCLR
from training.pretraining.swav import SwAV
from training.pretraining.unmix import Mixture, draw_mixture, mix_images
from training.pretraining.views import draw_view
from training.processes.distributed import WHOLE, Part, gather
from training.seeds import stream, torch_stream


def build_method(encoder: Encoder, config: PretrainConfig) -> Method:
    """The method over `encoder`, its heads drawn from torch's global generator."""
    hidden = encoder.num_features if config.hidden is None else config.hidden
    size = config.projection
    match config.method:
        case "moco":
            return MoCo(
                encoder,
                hidden=hidden,
                size=size,
                queue=config.queue,
                momentum=config.momentum,
                temperature=config.temperature,
                symmetric=config.symmetric,
            )
        case "simclr":
            return SimCLR(encoder, hidden=hidden, size=size, temperature=config.temperature)
        case "byol":
            return BYOL(encoder, hidden=hidden, size=size, momentum=config.momentum)
        case "swav":
            return SwAV(
                encoder,
                hidden=hidden,
                size=size,
                prototypes=config.prototypes,
                epsilon=config.epsilon,
                temperature=config.temperature,
                queue=config.queue,
                queue_from=config.queue_from,
                frozen_epochs=config.frozen_epochs,
                mixtures=config.swav_mixtures,
            )


def draw_inputs(
    pixels: Tensor,
    config: PretrainConfig,
    normalisation: Normalisation,
    seed: int,
    step: int,
    own: Part = WHOLE,
) -> tuple[Tensor, Tensor, Mixture | None]:
    """Two views of a batch and, in Un-Mix, a mixture of the first: a function of seed and step.

    `pixels` are the part `own` of the batch. Partners of mixtures come from the whole of it, for
    which the processes send each other their views.
    """
    views = [
        draw_view(
            pixels, config.views, normalisation, torch_stream(seed, "view", number, step), own
        )
        for number in (1, 2)
    ]
    mixture = None
    rng = stream(seed, "mixture", step)
    if config.unmix == "v1":
        mixed = mix_images([gather(view) for view in views], config.image_mixture, rng)
        views = [own.of(view) for view in mixed]
    elif config.unmix == "v5":
        mixture = draw_mixture(gather(views[0]), config.whole_share, config.beta, rng)
        mixture = Mixture(_channels_last(own.of(mixture.images)), mixture.share)
    first, second = map(_channels_last, views)
    return first, second, mixture


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)

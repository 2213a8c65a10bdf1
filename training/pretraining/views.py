"""Two views of an image: random resized crop, flip, brightness and contrast, each drawn anew.

After SimCLR's (arXiv 2002.05709), for small images. Differs from them: no blur, no changes of hue
and saturation and no grey, which need colours; brightness always before contrast, around the plain
mean of all channels, where torchvision's is of the grey image.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from training.augment.config import AugmentConfig
from training.augment.images import augment
from training.data.normalisation import Normalisation
from training.processes.distributed import WHOLE, Part
from training.section import Section


class ViewConfig(Section):
    """How a view differs from its image.

    `min_scale`: least share of the area kept. `brightness`, `contrast`: factors are drawn from
    1 - b to 1 + b; both are applied with the chance `jitter_probability`.
    """

    min_scale: float = Field(0.2, gt=0, le=1)
    flip: bool = True
    brightness: float = Field(0.4, ge=0, le=1)
    contrast: float = Field(0.4, ge=0, le=1)
    jitter_probability: float = Field(0.8, ge=0, le=1)


def draw_view(
    images: Tensor,
    config: ViewConfig,
    seen: Normalisation,
    generator: torch.Generator,
    own: Part = WHOLE,
) -> Tensor:
    """One view of each image, normalised.

    Args:
        images: uint8 (N, C, S, S) on any device, the part `own` of a batch.
        config: how a view differs.
        seen: side of the views, and their normalisation.
        generator: on the CPU; equal states give equal views.

    Returns:
        float32 (N, C, size, size) on the images' device.
    """
    cropped = AugmentConfig(crop="resized", min_scale=config.min_scale, flip=config.flip)
    channels = images.shape[1]
    plain = Normalisation((0.0,) * channels, (1.0,) * channels, seen.size)
    x = augment(images, cropped, plain, generator, own)
    draws = own.of(torch.rand(3, len(images) * own.size, 1, 1, 1, generator=generator), 1)
    is_jittered = draws[0] < config.jitter_probability
    brightness = torch.where(is_jittered, 1 + config.brightness * (2 * draws[1] - 1), 1.0)
    contrast = torch.where(is_jittered, 1 + config.contrast * (2 * draws[2] - 1), 1.0)
    x = jitter(x, brightness.to(x.device), contrast.to(x.device))
    shown = torch.tensor([seen.mean, seen.std]).view(2, -1, 1, 1).to(x.device)
    return (x - shown[0]) / shown[1]


def jitter(x: Tensor, brightness: Tensor, contrast: Tensor) -> Tensor:
    """x <- b x, then m + c (x - m) around each image's mean m over all channels; in [0, 1]."""
    x = (x * brightness).clamp(0, 1)
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    return (middle + contrast * (x - middle)).clamp(0, 1)

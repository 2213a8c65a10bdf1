"""Erase a window of some images of a batch, by the technique of a config."""

from __future__ import annotations

import torch
from torch import Tensor

from training.augment.config import EraseConfig
from training.augment.cutout import cutout_windows
from training.augment.random_erasing import erasing_windows
from training.processes.distributed import WHOLE, Part


def erase(
    images: Tensor, config: EraseConfig, generator: torch.Generator, part: Part = WHOLE
) -> Tensor:
    """Fill a window of each image, with the config's probability.

    Args:
        images: normalised, float32 (B, C, H, W) on any device; they are not changed.
        config: which windows, and how many images lose one.
        generator: on the CPU; equal states give equal results.
        part: which share of a batch the images are; draws are made for all of it.

    Returns:
        float32 (B, C, H, W).
    """
    _, channels, height, width = images.shape
    whole = len(images) * part.size
    drawn = torch.rand(whole, generator=generator) < config.probability
    if config.name == "cutout":
        assert config.size is not None
        windows = cutout_windows(whole, height, width, config.size, generator)
        return images.masked_fill(_inside(images, part.of(windows * drawn, 1)), 0)
    windows = erasing_windows(whole, height, width, config.area, config.aspect, generator) * drawn
    top, left, bottom, right = windows
    # One value for each pixel erased of the whole batch, in its order.
    counts = channels * (bottom - top) * (right - left)
    noise = torch.randn(int(counts.sum()), generator=generator)
    of_parts = noise.split(counts.view(part.size, -1).sum(1).tolist())
    inside = _inside(images, part.of(windows, 1)).expand_as(images)
    return images.masked_scatter(inside, of_parts[part.rank].to(images.device))


def _inside(images: Tensor, windows: Tensor) -> Tensor:
    """Which pixels lie in their image's window: bool (B, 1, H, W)."""
    top, left, bottom, right = windows.to(images.device)[:, :, None]
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    high, wide = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return (high[:, :, None] & wide[:, None, :])[:, None]

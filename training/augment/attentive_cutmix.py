"""Attentive CutMix (arXiv 2003.13048): the cells that matter most of one image go into another.

Of the partner x1 the cells of most attention are pasted into the image x2 at the same place:
x = B x1 + (1 - B) x2 and y = lam y1 + (1 - lam) y2, B the mask of the cells and lam its mean, which
is N / G^2 for N cells of a G x G grid whose cells are all of one size. So the larger share of the
label is that of the image pasted into.
"""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from training.augment.config import MixConfig
from training.augment.crops import Crops


def num_cells(config: MixConfig, rng: Random) -> int:
    """How many cells are pasted: as the config says, or a share drawn from Beta(alpha, alpha).

    A share lam of the G^2 cells gives int(lam G^2), at least 1.
    """
    assert config.attention is not None
    if config.attention.cells is not None:
        return config.attention.cells
    total = config.attention.grid**2
    return min(max(int(rng.betavariate(config.alpha, config.alpha) * total), 1), total)


def top_cells(attention: Tensor, count: int) -> Tensor:
    """The `count` cells of most attention, bool (B, G, G); of equal ones the first read.

    Args:
        attention: (B, G, G).
        count: cells an image, at most G^2.
    """
    flat = attention.flatten(1)
    first = flat.argsort(dim=1, descending=True, stable=True)[:, :count]
    chosen = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, first, True)
    return chosen.view_as(attention)


def cell_mask(cells: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in the cells, bool (B, 1, height, width): row p in row p G // height."""
    grid = cells.shape[1]
    rows = torch.arange(height, device=cells.device) * grid // height
    columns = torch.arange(width, device=cells.device) * grid // width
    return cells[:, rows[:, None], columns][:, None]


def attention_in_view(attention: Tensor, crops: Crops, grid: int) -> Tensor:
    """The attention of whole images, (B, M, M), as it falls into `grid` x `grid` cells of crops.

    A map is constant over each of its M x M fields; a cell gets the mean over its area, exactly,
    and what lies beyond the border counts as no attention.
    """
    maps = attention.float()
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)  # the border's 0 is the least there is
    fields = maps.shape[1]
    rows = overlaps(crops.top, crops.height, crops.side, fields, grid)
    columns = overlaps(crops.left, crops.width, crops.side, fields, grid)
    seen = rows.to(maps.device) @ maps @ columns.to(maps.device).transpose(1, 2)
    if crops.flip is not None:
        seen = torch.where(crops.flip.to(maps.device)[:, None, None], seen.flip(2), seen)
    return seen


def overlaps(start: Tensor, length: Tensor, side: int, fields: int, grid: int) -> Tensor:
    """Which share of each cell of a window lies in each field of the image, float32 (B, grid, M).

    Cell i reaches from start + i length / grid to start + (i + 1) length / grid, field j from
    j side / M to (j + 1) side / M. Counted in units of 1 / (grid M) pixels, in which all four are
    whole numbers: no sum is rounded.
    """
    begin, step = (start * grid * fields)[:, None], (length * fields)[:, None]
    cell = begin + torch.arange(grid) * step
    field = torch.arange(fields) * (side * grid)
    low = torch.maximum(cell[:, :, None], field)
    high = torch.minimum((cell + step)[:, :, None], field + side * grid)
    return (high - low).clamp(min=0) / step[:, :, None]

"""The losses of two views of the same images: InfoNCE, NT-Xent, and BYOL's regression.

All take rows of length 1, (N, D), and return the mean over the rows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """InfoNCE (arXiv 1807.03748) as MoCo has it (arXiv 1911.05722): row i belongs to key i.

    L = -log p_0 with p = softmax([q.k, q.n_1, ..., q.n_K] / T)
    dL/dq = (sum_j p_j n_j - (1 - p_0) k) / T
    """
    positive = (queries * keys).sum(1, keepdim=True)
    logits = torch.cat([positive, queries @ negatives.T], 1) / temperature
    return F.cross_entropy(logits, _numbers(queries, 0, len(queries)).zero_())


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss (arXiv 2002.05709): each of the 2N rows finds its other view among 2N - 1.

    L_i = -log softmax_j(z_i.z_j / T, j != i) at i's other view
    """
    count = len(first)
    rows = torch.cat([first, second])
    logits = rows @ rows.T / temperature
    itself = torch.eye(2 * count, dtype=torch.bool, device=rows.device)
    others = torch.cat([_numbers(rows, count, 2 * count), _numbers(rows, 0, count)])
    return F.cross_entropy(logits.masked_fill(itself, float("-inf")), others)


def squared_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """BYOL's loss (arXiv 2006.07733): |p - t|^2 = 2 - 2 p.t for rows of length 1.

    dL/dp = 2 (p - t), its part along p taken out by the normalisation before.
    """
    return (2 - 2 * (predicted * target).sum(1)).mean()


def _numbers(rows: Tensor, first: int, end: int) -> Tensor:
    return torch.arange(first, end, device=rows.device)

"""The rows of the whole batch in every process, so that each computes the same loss of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from training.processes.distributed import gather, part


class _Gathered(torch.autograd.Function):
    """Forward: the rows of all processes, R = [r_1, ..., r_P]. Backward: P dL/dr_p in process p.

    L is computed from R alike in each process and its gradients averaged afterwards: the mean of
    P dL/dr_p dr_p/dw over processes is dL/dw; what comes after R has dL/dw in each already.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return gather(rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        own = part()
        return own.of(grad) * own.size


def gather_rows(rows: Tensor) -> Tensor:
    """The whole batch's rows, (N, D), of which this process has made an equal part."""
    return _Gathered.apply(rows) if part().size > 1 else rows

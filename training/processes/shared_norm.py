"""BatchNorm whose statistics are those of the batch over all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _SumOverProcesses(torch.autograd.Function):
    """Forward: the sum of x over processes. Backward: the sum of its gradient over them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone()
        dist.all_reduce(total)
        return total


class _Shared(_BatchNorm):
    """BatchNorm of (N, C, ...) over the images of every process, on the CPU.

    Forward:   y = (x - mean) / sqrt(var + eps) * weight + bias, with sums over all processes.
    Backward:  by autograd.
    torch's SyncBatchNorm is the same for GPUs alone. In evaluation mode an ordinary BatchNorm.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        count = input.numel() / input.shape[1] * dist.get_world_size()
        summed = [dim for dim in range(input.dim()) if dim != 1]
        channels = (-1, *(1 for _ in summed[1:]))  # to be broadcast over the rest
        sums = _SumOverProcesses.apply(input.sum(summed, dtype=torch.float64))
        mean = (sums / count).to(input.dtype)
        centred = input - mean.view(channels)
        variance = (
            _SumOverProcesses.apply(centred.square().sum(summed, dtype=torch.float64)) / count
        )
        self._remember(mean, variance, count)
        y = centred * (variance.to(input.dtype) + self.eps).rsqrt().view(channels)
        if self.weight is not None:
            y = y * self.weight.view(channels)
        return y if self.bias is None else y + self.bias.view(channels)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Running statistics as torch keeps them: with the unbiased variance."""
        if not self.track_running_stats or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / int(self.num_batches_tracked)
        assert self.running_mean is not None and self.running_var is not None
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_((variance * (count / (count - 1))).to(mean.dtype), share)


class SharedBatchNorm1d(_Shared, nn.BatchNorm1d):
    """Of features (N, C)."""


class SharedBatchNorm2d(_Shared, nn.BatchNorm2d):
    """Of maps (N, C, H, W)."""


def share_statistics(module: nn.Module) -> None:
    """Make every BatchNorm below `module` one over all processes.

    In place, by its class: supernets hold the same norm in many paths.
    """
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            if any(buffer.is_cuda for buffer in norm.buffers()):
                norm.process_group = None  # type: ignore[assignment]
                norm.__class__ = nn.SyncBatchNorm  # type: ignore[assignment]
            elif isinstance(norm, nn.BatchNorm1d):
                norm.__class__ = SharedBatchNorm1d
            else:
                norm.__class__ = SharedBatchNorm2d

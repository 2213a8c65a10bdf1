"""BatchNorm statistics of a path, recomputed before it is scored; and its top-1.

Single Path One-Shot (arXiv 1904.00420), section 3.4; by cumulative averaging over one fixed set of
training images.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from supernet.finite import demand_finite, demand_finite_statistics


def calibrate_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Recompute the running statistics of every BatchNorm below `network` over `batches`.

    Cumulative: after n batches of equal size the mean over all n (PyTorch's momentum=None), with
    the unbiased variance of each batch. All else is in evaluation mode. Ends in evaluation mode,
    momentum as before. On a CPU sums are in doubles, and no compiled graph is used.

    Raises:
        NotFiniteError: a mean or variance is none; names the first BatchNorm.
    """
    for _ in calibrated_outputs(network, batches):
        pass


def calibrated_outputs(network: nn.Module, batches: Iterable[Any]) -> Iterator[Any]:
    """As `calibrate_batch_norm`, giving what `network` makes of each batch by its own statistics.

    They are set after the last batch, and are of no use if the iterator is closed before.
    """
    # Also those that several GPUs share, which are no BatchNorm2d.
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    sums, hooks = [], []
    for norm in norms:
        norm.reset_running_stats()
        if norm.running_mean is not None and norm.running_mean.device.type == "cpu":
            sums.append(_Sums(norm))
            hooks.append(norm.register_forward_pre_hook(sums[-1]))
        else:
            norm.momentum = None
            norm.train()
    try:
        for batch in batches:
            with torch.no_grad(), _eager():  # not over a yield: it would be the caller's too
                outputs = network(batch)
            yield outputs
        for of_norm in sums:
            of_norm.set_means()
        demand_finite_statistics(network, "BatchNorm calibration")
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


class _Sums:
    """Gives a norm, in evaluation mode, the statistics of each batch before it normalises it.

    torch's own, in single precision, are off by up to 2e-4 of themselves in channels_last.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        self._norm, self._mean, self._variance, self._num_batches = norm, Tensor(), Tensor(), 0

    def __call__(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        mean, variance, count = moments(inputs[0])
        if count < 2:
            raise ValueError(
                f"expected two values of each channel at least, found a batch of shape "
                f"{tuple(inputs[0].shape)}"
            )
        unbiased = variance * (count / (count - 1))
        self._num_batches += 1
        first = self._num_batches == 1
        self._mean = mean if first else self._mean + mean
        self._variance = unbiased if first else self._variance + unbiased
        self._put(mean, variance)

    def set_means(self) -> None:
        """Put the means over all batches into the norm, if there were any."""
        if self._num_batches:
            self._put(self._mean / self._num_batches, self._variance / self._num_batches)
            assert self._norm.num_batches_tracked is not None
            self._norm.num_batches_tracked.fill_(self._num_batches)

    def _put(self, mean: Tensor, variance: Tensor) -> None:
        assert self._norm.running_mean is not None and self._norm.running_var is not None
        self._norm.running_mean.copy_(mean)
        self._norm.running_var.copy_(variance)


def moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and (biased) variance of each channel of (N, C, ...), in doubles, and values a channel.

    With a the mean rounded to single precision: var = sum (x - a)^2 / n - (mean - a)^2. Sums over
    an image are in single precision, those over the images in double.
    """
    channels = x.shape[1]
    pixels = x.movedim(1, -1).reshape(len(x), -1, channels)  # no copy in channels_last
    if pixels.dtype not in (torch.float32, torch.float64):
        pixels = pixels.float()
    count = x.numel() // channels
    mean = pixels.sum(1).double().sum(0) / count
    rounded = mean.to(pixels.dtype)
    squares = pixels - rounded
    squares.mul_(squares)
    variance = squares.sum(1).double().sum(0) / count - (mean - rounded.double()).square()
    return mean, variance.clamp_(min=0), count


def _eager() -> AbstractContextManager[Any]:
    """A compiled graph would not call hooks that it was made without."""
    # Who compiles has loaded dynamo; loading it takes seconds.
    return (
        torch.compiler.set_stance("force_eager")
        if "torch._dynamo" in sys.modules
        else nullcontext()
    )


def use_batch_statistics(network: nn.Module) -> None:
    """Make every BatchNorm below `network` take the statistics of its batch, also in evaluation."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean = norm.running_var = None


def top1(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Percentage of images whose largest logit is their label's; evaluation mode is set."""
    network.eval()
    correct = total = 0
    with torch.inference_mode():
        for images, labels in batches:
            logits = network(images)
            demand_finite(logits)
            correct += int((logits.argmax(dim=1) == labels).sum())
            total += len(labels)
    return 100.0 * correct / total

"""BatchNorm statistics of a path, recomputed before it is scored; and its top-1.

Single Path One-Shot (arXiv 1904.00420), section 3.4; by cumulative averaging over one fixed set of
training images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def calibrate_batch_norm(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Recompute the running statistics of every BatchNorm below `network` over `batches`.

    Cumulative: after n batches of equal size the mean over all n (PyTorch's momentum=None), with
    the unbiased variance of each batch. All else is in evaluation mode. Ends in evaluation mode,
    momentum as before.
    """
    for _ in calibrated_outputs(network, batches):
        pass


def calibrated_outputs(network: nn.Module, batches: Iterable[Any]) -> Iterator[Any]:
    """As `calibrate_batch_norm`, giving what `network` makes of each batch by its own statistics.

    It ends with the last batch, or where the iterator is closed.
    """
    # Also those that several GPUs share, which are no BatchNorm2d.
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    try:
        for batch in batches:
            with torch.no_grad():  # not over a yield: it would be the caller's too
                outputs = network(batch)
            yield outputs
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


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
            correct += int((network(images).argmax(dim=1) == labels).sum())
            total += len(labels)
    return 100.0 * correct / total

"""NaN and infinity are failures: never a class, never a weight that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from supernet.files import UserError

if TYPE_CHECKING:
    from torch import Tensor


class NotFiniteError(UserError):
    """A network gives, or holds, what is no number."""


def demand_finite(logits: Any, who: str = "the network") -> None:
    """Demand that the logits (N, classes) of N images, of numpy or torch, are all numbers.

    The largest of a row with NaN is NaN's, and would be taken for a class.

    Raises:
        NotFiniteError: says of how many images they are not.
    """
    finite = np.isfinite(logits) if isinstance(logits, np.ndarray) else logits.isfinite()
    good = int(finite.reshape(len(logits), -1).all(1).sum())
    if good < len(logits):
        raise NotFiniteError(
            f"{who} gives logits that are no finite numbers for {len(logits) - good} of "
            f"{len(logits)} images: its weights or statistics have diverged"
        )


def demand_finite_statistics(network: Any, who: str) -> None:
    """Demand that the running statistics of every BatchNorm below a module of torch are numbers.

    A variance that is infinite, which a stored network may hold (`demand_finite_weights`), is a sum
    that overflowed where they were just computed: the norm would make its input a constant, and a
    class would be read off it.

    Raises:
        NotFiniteError: names the first that is not.
    """
    for name, tensor in network.named_buffers():
        if name.endswith(("running_mean", "running_var")) and not bool(tensor.isfinite().all()):
            raise NotFiniteError(
                f"{who}: '{name}' is NaN or infinite: the weights before it have diverged"
            )


def demand_finite_weights(tensors: Mapping[str, Tensor], who: str) -> None:
    """Demand that all weights and statistics are numbers.

    Raises:
        NotFiniteError: names the first that holds others.
    """
    for name, tensor in tensors.items():
        # A variance may be infinite: so `fold_scale` makes a channel constant.
        bad = tensor.isnan() if name.endswith("running_var") else ~tensor.isfinite()
        if bool(bad.any()):
            raise NotFiniteError(
                f"{who}: '{name}' holds NaN or infinity: its training has diverged"
            )

"""A step that moves parts of parameters: those that the paths of a supernet's step used.

An optimiser moves whole parameters: where the gradient is zero, momentum, moments and decay still
move a weight. What no path used is therefore put back, its moments included, as if it had been a
parameter without gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from training.optim.combined import Combined, Optimiser


def step_within(
    optimiser: Optimiser, regions: Mapping[nn.Parameter, Sequence[Callable[[Tensor], Tensor]]]
) -> None:
    """One step of `optimiser`; of each parameter in `regions` only the named parts move."""
    # A parameter whose gradient is None does not move at all.
    moving = {p: views for p, views in regions.items() if p.grad is not None}
    before = {p: _state(optimiser, p) for p in moving}
    with torch.no_grad():
        kept = {
            p: {name: tensor.clone() for name, tensor in {"": p, **before[p]}.items()}
            for p in moving
        }
        optimiser.step()
        for p, views in moving.items():
            for name, tensor in {"": p, **_state(optimiser, p)}.items():
                # A moment that this step made was zero before it.
                _restore(tensor, kept[p].get(name), views)


def _restore(
    tensor: Tensor, before: Tensor | None, views: Sequence[Callable[[Tensor], Tensor]]
) -> None:
    """Put `before`, or zeros, into `tensor` wherever none of `views` looks."""
    whole = torch.zeros_like(tensor) if before is None else before
    for view in views:
        view(whole).copy_(view(tensor))
    tensor.copy_(whole)


def _state(optimiser: Optimiser, parameter: nn.Parameter) -> dict[str, Tensor]:
    """The moments that some optimiser keeps of `parameter`, by name."""
    parts = optimiser.optimisers if isinstance(optimiser, Combined) else (optimiser,)
    return {
        name: value
        for part in parts
        if parameter in part.state
        for name, value in part.state[parameter].items()
        if isinstance(value, Tensor) and value.shape == parameter.shape
    }

"""Several optimisers as one, each for its own parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from training.optim.bop import Bop


class Combined:
    """Steps every optimiser; each trained parameter of `module` belongs to exactly one of them.

    Raises:
        ValueError: a parameter is held twice, or needs a gradient and is held by none; names it.
            Or an optimiser holds one that is not the module's.
    """

    def __init__(self, module: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimisers = tuple(optimisers)
        _check_owners(module, self.optimisers)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups themselves of all optimisers, in their order."""
        return [group for optimiser in self.optimisers for group in optimiser.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step each; `closure` is called once, before all, with gradients enabled."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimiser in self.optimisers:
            optimiser.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """{"optimisers": the state of each, in their order}."""
        return {"optimisers": [optimiser.state_dict() for optimiser in self.optimisers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what `state_dict` returned.

        Raises:
            ValueError: the state of another number of optimisers, or of other groups.
        """
        states = state_dict.get("optimisers", [state_dict])
        if len(states) != len(self.optimisers):
            raise ValueError(
                f"state of {len(states)} optimisers, expected {len(self.optimisers)}: "
                f"{', '.join(type(optimiser).__name__ for optimiser in self.optimisers)}"
            )
        for optimiser, state in zip(self.optimisers, states, strict=True):
            optimiser.load_state_dict(state)


Optimiser = torch.optim.Optimizer | Combined
"""What a training loop steps: one of torch's optimisers, or several as one."""


def _check_owners(module: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> None:
    # Parameters are hashed and compared by identity; == would compare their values.
    owners: dict[nn.Parameter, list[str]] = {}
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                owners.setdefault(parameter, []).append(type(optimiser).__name__)
    for name, parameter in module.named_parameters():
        found = owners.pop(parameter, [])
        if len(found) > 1:
            raise ValueError(f"parameter {name} is held by {' and '.join(found)}, expected by one")
        if not found and parameter.requires_grad:
            raise ValueError(f"parameter {name} is held by no optimiser")
    for parameter, found in owners.items():
        raise ValueError(
            f"{found[0]} holds a parameter of shape {tuple(parameter.shape)} "
            "that is not the module's"
        )


def figures(optimiser: Optimiser) -> dict[str, float]:
    """`flip_rate`: flips a step and binary weight that had a gradient, since the last call.

    Empty without Bop, and where no binary weight had a gradient since. Waits for the device.
    """
    parts = optimiser.optimisers if isinstance(optimiser, Combined) else (optimiser,)
    counts = [part.take_flips() for part in parts if isinstance(part, Bop)]
    seen = sum(seen for _, seen in counts)
    return {"flip_rate": sum(flips for flips, _ in counts) / seen} if seen else {}

"""Bop: binary weights that flip, without latent weights.

"Latent Weights Do Not Exist: Rethinking Binarized Neural Network Optimization" (Helwegen et al.,
NeurIPS 2019, arXiv 1906.02107), algorithm 1. Differs from the authors' code at the edges: there
w*m == tau gives +1 whatever w was (so does m = 0 at tau = 0), and weights that begin as real
numbers are used as such in the first forward pass; here they must be -1 and +1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

CPU_BLOCK = 2**15  # values; what a block needs, 4 x 128 KiB, stays in a core's cache
MAX_EXACT_FP32_COUNT = 2**24  # fp32 has 24 significant bits: every integer up to it is exact


class Bop(Optimizer):
    """Optimiser of weights that are -1 or +1.

    m <- (1 - gamma) m + gamma g, from m = 0;  then w <- -w where w m > tau.
    g is the gradient with respect to w as it is used in the forward pass. No learning rate, decay,
    clamp or bias correction; m is not reset by a flip. gamma in (0, 1]; tau >= 0, in the units of
    the gradient. A parameter without gradient is left alone, m included. Half-precision weights
    have their m in fp32.

    Raises:
        ValueError: gamma or tau out of range; at a parameter's first step, other values than -1
            and +1.
    """

    def __init__(self, params: ParamsT, gamma: float = 1e-4, tau: float = 1e-8) -> None:
        if not 0 < gamma <= 1:
            raise ValueError(f"gamma is {gamma}, expected a number in (0, 1]")
        if not tau >= 0:
            raise ValueError(f"tau is {tau}, expected a number of at least 0")
        self._forget()
        super().__init__(params, {"gamma": gamma, "tau": tau})

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def _forget(self) -> None:
        """Begin as new beside the moments: weights unchecked, no flips counted."""
        self._checked: set[Tensor] = set()
        self._flips: dict[torch.device, Tensor] = {}
        self._num_seen = 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the moments, flip; returns what `closure` does, called with gradients enabled."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._move(weight, weight.grad, group["gamma"], group["tau"])
        return loss

    def _move(self, weight: Tensor, grad: Tensor, gamma: float, tau: float) -> None:
        if grad.layout != torch.strided:
            raise RuntimeError("Bop takes no sparse gradients")
        if weight not in self._checked:
            check_signs(weight)
            self._checked.add(weight)
        state = self.state[weight]
        if not state:
            wide = torch.promote_types(weight.dtype, torch.float32)
            state["moment"] = torch.zeros_like(weight, dtype=wide)
        moment = state["moment"]
        flips = torch.zeros((), dtype=torch.int64, device=weight.device)
        for w, m, g in zip(*map(_blocks, (weight, moment, grad)), strict=True):
            # m + gamma (g - m): one pass in place, and 1 - gamma is not rounded to 1 if tiny.
            m.lerp_(g.to(m.dtype), gamma)
            flip = (m * w).gt_(tau)  # 1 where it flips, else 0, in m's type
            w.addcmul_(w, flip.to(w.dtype), value=-2)  # w - 2 w flip, exact for +-1
            flips += _count(flip)
        self._flips[weight.device] = self._flips.get(weight.device, 0) + flips
        self._num_seen += weight.numel()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As every optimiser does, but a moment keeps its own precision, not its weight's."""
        super().load_state_dict(state_dict)
        saved = [index for group in state_dict["param_groups"] for index in group["params"]]
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for index, weight in zip(saved, weights, strict=True):
            if index in state_dict["state"]:
                moment = state_dict["state"][index]["moment"]
                if moment.shape != weight.shape:
                    raise ValueError(
                        f"a moment of shape {tuple(moment.shape)} for a weight of shape "
                        f"{tuple(weight.shape)}"
                    )
                wide = torch.promote_types(weight.dtype, torch.float32)
                own = torch.zeros_like(weight, dtype=wide)  # in the weight's memory format
                self.state[weight]["moment"] = own.copy_(moment)

    def take_flips(self) -> tuple[int, int]:
        """Flips, and weights that had a gradient, each step anew; both since the last call.

        Waits for the device.
        """
        flips = sum(int(count.item()) for count in self._flips.values())
        seen = self._num_seen
        self._flips, self._num_seen = {}, 0
        return flips, seen


def check_signs(weight: Tensor) -> None:
    """Demand that a weight is -1 and +1 throughout.

    Raises:
        ValueError: it is not; names its shape and how many values are others.
    """
    if others := int((weight.detach().abs() != 1).count_nonzero().item()):
        raise ValueError(
            f"Bop: {others} of {weight.numel()} values of a weight of shape "
            f"{tuple(weight.shape)} are neither -1 nor +1"
        )


def _blocks(tensor: Tensor) -> tuple[Tensor, ...]:
    """Views of `tensor`, rows together: on the CPU as many as fit into a cache, else all."""
    rows = torch.atleast_1d(tensor)
    if tensor.device.type != "cpu" or not rows.numel():
        return (rows,)
    return rows.split(max(1, CPU_BLOCK * len(rows) // rows.numel()))


def _count(flip: Tensor) -> Tensor:
    """How many of the zeros and ones are ones; the sum is much faster, and exact to 2^24."""
    return flip.sum().long() if flip.numel() <= MAX_EXACT_FP32_COUNT else flip.count_nonzero()

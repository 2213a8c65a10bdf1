"""Learning rate, gamma and tau of each step: pure functions of the step's number."""

from __future__ import annotations

import math

from training.optim.combined import Optimiser
from training.optim.config import BopConfig, OptimiserConfig


def set_rates(
    optimiser: Optimiser,
    config: OptimiserConfig,
    learning_rate: float,
    step: int,
    per_epoch: int,
    total: int,
) -> None:
    """Set what step `step` (from 0) of `total`, `per_epoch` an epoch, runs with; call before it.

    Groups of Bop get gamma and tau, all others the learning rate.
    """
    rate = learning_rate * learning_rate_share(config, step, per_epoch, total)
    for group in optimiser.param_groups:
        if "gamma" not in group:
            group["lr"] = rate
        elif config.bop is not None:
            group["gamma"] = gamma_at(config.bop, step, per_epoch, total)
            group["tau"] = _between(config.bop.tau, config.bop.tau_end, step, total)


def learning_rate_share(config: OptimiserConfig, step: int, per_epoch: int, total: int) -> float:
    """Learning rate of a step as a share of the configured one, in [0, 1].

    linear:        left = 1 - step / total
    linear-epochs: left = 1 - (e + 1) / E in epoch e of E
    cosine:        left = (1 + cos(pi step / total)) / 2;  these three: end + (1 - end) left
    milestones:    decay^n after n milestones
    During warm-up times step / steps of warm-up, so that the first step has rate 0.
    """
    match config.schedule:
        case "linear":
            share = _falling(config.end, 1 - step / total)
        case "linear-epochs":
            # (e + 1) / E in steps; an epoch that `total` cuts short ends there.
            epoch_end = min((step // per_epoch + 1) * per_epoch, total)
            share = _falling(config.end, 1 - epoch_end / total)
        case "cosine":
            share = _falling(config.end, (1 + math.cos(math.pi * step / total)) / 2)
        case "milestones":
            share = config.decay ** sum(step >= epoch * per_epoch for epoch in config.milestones)
        case "constant":
            share = 1.0
    warmup = config.warmup_epochs * per_epoch  # steps
    return share * step / warmup if step < warmup else share


def gamma_at(bop: BopConfig, step: int, per_epoch: int, total: int) -> float:
    """gamma of a step: gamma_decay^n of it after n times gamma_decay_epochs, or linear."""
    if bop.gamma_decay_epochs is None:
        return _between(bop.gamma, bop.gamma_end, step, total)
    num_decays = math.floor(step / (bop.gamma_decay_epochs * per_epoch))
    return bop.gamma * bop.gamma_decay**num_decays


def _falling(end: float, left: float) -> float:
    return end + (1 - end) * left


def _between(start: float, end: float | None, step: int, total: int) -> float:
    """On the line from `start` at step 0 to `end` at `total`; `start` where there is no end."""
    return start if end is None else start + (end - start) * step / total

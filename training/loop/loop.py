"""The training loop: a pure function of seed and step, so that a resumed run is bit-identical.

Nothing random is kept between steps. The order of images is drawn from (seed, epoch); how they are
varied, erased and mixed, and the paths, from (seed, step): a checkpoint needs weights, optimiser
state and the step's number. For the same reason a step means the same in any number of processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from supernet.files import UserError, as_written
from supernet.sharing.shared_path import partial_regions
from training.augment.attention import open_attention
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation
from training.loop.batches import read_batches, steps_per_epoch, vary
from training.loop.drop_block import DropBlock
from training.loop.interrupt import InterruptRequest
from training.loop.losses import Loss
from training.loop.settings import TrainingSettings
from training.optim import Optimiser, build_optimiser, figures, set_rates, step_within
from training.processes.distributed import (
    Part,
    any_process,
    average_gradients,
    begin_alike,
    mean_over_processes,
    part,
    state_of_first,
)
from training.run_files.checkpoint import load_checkpoint, save_checkpoint
from training.run_files.progress import Progress
from training.seeds import torch_stream

STEPS_BETWEEN_LOGS = 50


@dataclass(frozen=True)
class LoopHooks:
    """What the loop asks of its caller.

    `paths(step)`: the networks whose gradients the step adds up, drawn from the step alone.
    `log(**numbers)`: every 50 steps and at the end. `extra_state` and `load_extra_state`: what
    the caller wants kept in the checkpoint.
    """

    paths: Callable[[int], Sequence[nn.Module]]
    log: Callable[..., None]
    extra_state: Callable[[], dict[str, Any]] = dict
    load_extra_state: Callable[[dict[str, Any]], None] = lambda state: None


def train(
    module: nn.Module,
    images: ImageSet,
    settings: TrainingSettings,
    normalisation: Normalisation,
    hooks: LoopHooks,
    loss: Loss,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Path,
    label: str,
    phase: int = 1,
) -> None:
    """Train `module`'s parameters in place, from `checkpoint` on where it exists.

    Each step: for each path a forward and backward pass on the same varied images, then one
    step of the optimiser. Parameters of no path keep `grad=None` and do not move, moments
    included; nor do the parts of shared parameters that no path uses. `phase` numbers a training
    that has several, whose checkpoints are not each other's.
    """
    per_epoch = steps_per_epoch(images, settings)
    total = per_epoch * settings.epochs
    own = part()
    optimiser = build_optimiser(
        module, settings.optimiser, settings.learning_rate, settings.weight_decay
    )
    first = _resume(checkpoint, phase, module, optimiser, hooks)
    attention = open_attention(settings.augment.mix, images, normalisation, device)
    begin_alike(module, shared_norms=settings.shared_norms)
    saved = started = logged = time.monotonic()
    running = RunningLoss()
    module.train()
    with (
        Progress(label, total, first, checkpoint.parent) as progress,
        InterruptRequest() as interrupt,
    ):
        batches = read_batches(
            images, settings.batch_size, own, per_epoch, total, first, seed, device
        )
        for step, (pixels, labels, numbers) in enumerate(batches, start=first):
            set_rates(optimiser, settings.optimiser, settings.learning_rate, step, per_epoch, total)
            batch = vary(
                pixels,
                labels,
                settings.augment,
                normalisation,
                len(images.class_names),
                seed,
                step,
                own,
                numbers,
                attention,
            )
            x, labels = batch.images, batch.labels
            run = _runner(settings, step / total, torch_stream(seed, "drop block", step), own)
            paths = hooks.paths(step)
            running.add(training_step(paths, module, optimiser, x, labels, loss, run))
            done = step + 1
            if done % STEPS_BETWEEN_LOGS == 0 or done == total:
                mean_loss = mean_over_processes(running.take())
                if mean_loss != mean_loss:
                    raise ArithmeticError(
                        f"{label}: loss is NaN at step {done}; lower learning_rate"
                    )
                rate = (done - first) * settings.batch_size / (time.monotonic() - started)
                shared = {name: mean_over_processes(n) for name, n in loss.figures().items()}
                more = {**shared, **figures(optimiser)}
                if attention is not None:
                    now = time.monotonic()
                    more["extractor_share"] = attention.stopwatch.take() / (now - logged)
                    logged = now
                if own.rank == 0:
                    hooks.log(
                        step=done,
                        epoch=done / per_epoch,
                        loss=mean_loss,
                        learning_rate=learning_rate_of(optimiser),
                        images_per_second=round(rate, 1),
                        phase=phase,
                        **more,
                    )
                progress.advance(done - progress.done, loss=mean_loss)
            interrupted = any_process(interrupt.requested)
            is_due = time.monotonic() - saved > settings.checkpoint_seconds
            if (is_due or interrupted) and done < total and own.rank == 0:
                _save(checkpoint, phase, module, optimiser, hooks, done)
                saved = time.monotonic()
            if interrupted:
                progress.done = done
                raise KeyboardInterrupt


def training_step(
    paths: Sequence[nn.Module],
    module: nn.Module,
    optimiser: Optimiser,
    x: Tensor,
    labels: Tensor,
    loss: Loss,
    run: Callable[[nn.Module, Tensor], Tensor] = nn.Module.__call__,
) -> Tensor:
    """One optimiser step over the summed gradients of `paths`; returns the mean loss, detached.

    `run(path, x)`: the logits of a path.
    """
    optimiser.zero_grad(set_to_none=True)
    targets = loss.targets(x, labels)
    losses = []
    for path in paths:
        value = loss(run(path, x), targets)
        value.backward()
        losses.append(value.detach())
    average_gradients(module.parameters())
    step_within(optimiser, partial_regions(paths))
    return torch.stack(losses).mean()


def _runner(
    settings: TrainingSettings, progress: float, generator: torch.Generator, own: Part
) -> Callable[[nn.Module, Tensor], Tensor]:
    """How a step runs its paths, `progress` (0 to 1) through the training."""
    if settings.drop_block is None:
        return nn.Module.__call__
    return DropBlock(settings.drop_block, progress, generator, own)


def _save(
    path: Path,
    phase: int,
    module: nn.Module,
    optimiser: Optimiser,
    hooks: LoopHooks,
    step: int,
) -> None:
    save_checkpoint(
        path,
        {
            "phase": phase,
            "step": step,
            "module": module.state_dict(),
            "optimiser": optimiser.state_dict(),
            "extra": hooks.extra_state(),
        },
    )


def _resume(
    path: Path,
    phase: int,
    module: nn.Module,
    optimiser: Optimiser,
    hooks: LoopHooks,
) -> int:
    """Take up the state in `path`, which the first process reads; returns the steps done.

    A checkpoint of the phase before is what a kill between two phases left.
    """
    state = load_checkpoint(path) if part().rank == 0 and path.exists() else None
    state = state_of_first(state)
    if state is None or state.get("phase", 1) != phase:
        return 0
    with as_written(path):
        try:
            module.load_state_dict(state["module"])
            optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(f"{path}: training state of another network ({error})") from error
        hooks.load_extra_state(state["extra"])
        return int(state["step"])


def learning_rate_of(optimiser: Optimiser) -> float:
    """The rate of the first group that has one; Bop's have none."""
    return next((group["lr"] for group in optimiser.param_groups if "lr" in group), 0.0)


class RunningLoss:
    """Mean loss since the last look, kept on the device so that a step need not wait for it."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        """Take in a step's loss, detached."""
        self._losses.append(loss)

    def take(self) -> float:
        """The mean of those taken in since the last call; waits for the device."""
        mean = torch.stack(self._losses).mean().item()
        self._losses.clear()
        return mean

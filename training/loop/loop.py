"""The training loop: a pure function of seed and step, so that a resumed run is bit-identical.

Nothing random is kept between steps. The order of images is drawn from (seed, epoch); how they are
varied, erased and mixed, and the paths, from (seed, step): a checkpoint needs weights, optimiser
state and the step's number. For the same reason a step means the same in any number of processes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from supernet.files import RunFailed, UserError, as_written
from supernet.finite import NotFiniteError, demand_finite_statistics, demand_finite_weights
from training.loop.interrupt import InterruptRequest
from training.loop.training import Moment, Training
from training.optim import Optimiser, build_optimiser, figures, set_rates
from training.processes.distributed import (
    any_process,
    begin_alike,
    mean_over_processes,
    part,
    state_of_first,
)
from training.run_files.checkpoint import load_checkpoint, save_checkpoint
from training.run_files.progress import Progress

CHECKPOINT = "checkpoint.pt"
STEPS_BETWEEN_LOGS = 50


class Log(Protocol):
    """Takes the numbers of a training every 50 steps and at the end."""

    def __call__(self, *, step: int, **numbers: float) -> None: ...


def train_phase(
    training: Training, number: int, log: Log, before_step: Callable[[], None] | None = None
) -> None:
    """Train phase `number` (from 1) in place, from the training's checkpoint on where it has one.

    `before_step` is called at the beginning of each step, by who times them.

    Raises:
        UserError: fewer images than one batch, or the training state of another network.
        RunFailed: the loss, or at the end a weight or statistic, is not a finite number.
    """
    settings, steps = training.phases[number - 1], training.steps(number)
    own, checkpoint = part(), training.folder / CHECKPOINT
    training.begin(number)
    optimiser = build_optimiser(
        training.learning, settings.optimiser, settings.learning_rate, settings.weight_decay
    )
    first = _resume(training, number, optimiser)
    begin_alike(training.module, shared_norms=training.shared_norms)
    label, saved = training.label_of(number), time.monotonic()
    started, running = saved, RunningLoss()
    training.module.train()
    with (
        Progress(label, steps.total, first, training.folder) as progress,
        InterruptRequest() as interrupt,
    ):
        progress.keep()
        for step, images in enumerate(steps.read(first, training.device, own), start=first):
            if before_step is not None:
                before_step()
            set_rates(
                optimiser,
                settings.optimiser,
                settings.learning_rate,
                step,
                steps.per_epoch,
                steps.total,
            )
            running.add(training.step(images, Moment(step, steps, own), optimiser))
            done = step + 1
            if done % STEPS_BETWEEN_LOGS == 0 or done == steps.total:
                mean_loss = mean_over_processes(running.take())
                if not math.isfinite(mean_loss):
                    raise RunFailed(
                        f"{label}: loss is {mean_loss} at step {done}; lower learning_rate"
                    )
                rate = (done - first) * settings.batch_size / (time.monotonic() - started)
                more = training.figures()
                if own.rank == 0:
                    log(
                        step=done,
                        epoch=done / steps.per_epoch,
                        loss=mean_loss,
                        learning_rate=learning_rate_of(optimiser),
                        images_per_second=round(rate, 1),
                        **more,
                        **figures(optimiser),
                    )
                progress.advance(done - progress.done, loss=mean_loss)
            interrupted = any_process(interrupt.requested)
            is_due = time.monotonic() - saved > settings.checkpoint_seconds
            is_last = done == steps.total
            if is_last:
                _demand_finite(training, label)
            if own.rank == 0 and (training.keeps_last if is_last else is_due or interrupted):
                state = {"step": done, "optimiser": optimiser.state_dict(), **training.state()}
                save_checkpoint(checkpoint, state)
                saved = time.monotonic()
                progress.done = done
                progress.keep()
            if interrupted:
                progress.done = done
                raise KeyboardInterrupt


def _demand_finite(training: Training, label: str) -> None:
    """Fail where the last steps, of which no loss tells, left weights that are no numbers."""
    try:
        demand_finite_weights(training.module.state_dict(), label)
        demand_finite_statistics(training.module, label)
    except NotFiniteError as error:
        raise RunFailed(f"{error}; lower learning_rate") from error


def _resume(training: Training, number: int, optimiser: Optimiser) -> int:
    """Take up the checkpoint, which the first process reads; returns the steps done.

    A checkpoint of the phase before is what a kill between two phases left.
    """
    path = training.folder / CHECKPOINT
    state = load_checkpoint(path) if part().rank == 0 and path.exists() else None
    state = state_of_first(state)
    if state is None or state.get("phase", 1) != number:
        return 0
    with as_written(path):
        try:
            training.load_state(state)
            optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(f"{path}: training state of another network ({error})") from error
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

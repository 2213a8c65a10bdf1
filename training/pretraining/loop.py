"""The loop of a pre-training: a pure function of seed and step, as `training.loop.loop`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from supernet.files import UserError
from training.data.image_set import ImageSet
from training.data.normalisation import Normalisation
from training.loop.batches import read_batches, steps_per_epoch
from training.loop.interrupt import InterruptRequest
from training.loop.loop import STEPS_BETWEEN_LOGS, RunningLoss, learning_rate_of
from training.optim import Optimiser, build_optimiser, figures, set_rates
from training.pretraining.build import draw_inputs
from training.pretraining.config import PretrainConfig
from training.pretraining.method import Method
from training.processes.distributed import (
    any_process,
    average_gradients,
    begin_alike,
    part,
    state_of_first,
)
from training.run_files.checkpoint import load_checkpoint, save_checkpoint
from training.run_files.progress import Progress


def train_method(
    method: Method,
    images: ImageSet,
    config: PretrainConfig,
    normalisation: Normalisation,
    log: Callable[..., None],
    *,
    seed: int,
    device: torch.device,
    checkpoint: Path,
    label: str,
) -> None:
    """Train `method.online` in place, from `checkpoint` on where it exists.

    The checkpoint has the target encoder and the queue too, and stays after the last step. Of
    several processes each takes its part of every batch, and the first writes.

    Raises:
        UserError: fewer images than one batch, or the training state of another network.
        ArithmeticError: the loss is not a number.
    """
    per_epoch = steps_per_epoch(images, config)
    total = per_epoch * config.epochs
    own = part()
    optimiser = build_optimiser(
        method.online, config.optimiser, config.learning_rate, config.weight_decay
    )
    first = _resume(checkpoint, method, optimiser)
    begin_alike(method, shared_norms=True)
    saved = started = time.monotonic()
    running = RunningLoss()
    method.train()
    with (
        Progress(label, total, first, checkpoint.parent) as progress,
        InterruptRequest() as interrupt,
    ):
        batches = read_batches(
            images, config.batch_size, own, per_epoch, total, first, seed, device
        )
        for step, (pixels, _, _) in enumerate(batches, start=first):
            set_rates(optimiser, config.optimiser, config.learning_rate, step, per_epoch, total)
            done = step + 1
            optimiser.zero_grad(set_to_none=True)
            method.before_step(step, per_epoch)
            loss = method.loss(*draw_inputs(pixels, config, normalisation, seed, step, own))
            loss.backward()
            average_gradients(method.online.parameters())
            optimiser.step()
            method.after_step(done / total)
            running.add(loss.detach())
            if done % STEPS_BETWEEN_LOGS == 0 or done == total:
                mean_loss = running.take()
                if mean_loss != mean_loss:
                    raise ArithmeticError(
                        f"{label}: loss is NaN at step {done}; lower learning_rate"
                    )
                rate = (done - first) * config.batch_size / (time.monotonic() - started)
                if own.rank == 0:
                    log(
                        step=done,
                        epoch=done / per_epoch,
                        loss=mean_loss,
                        learning_rate=learning_rate_of(optimiser),
                        images_per_second=round(rate, 1),
                        **figures(optimiser),
                    )
                progress.advance(done - progress.done, loss=mean_loss)
            interrupted = any_process(interrupt.requested)
            is_due = time.monotonic() - saved > config.checkpoint_seconds
            if (is_due or interrupted or done == total) and own.rank == 0:
                _save(checkpoint, method, optimiser, done)
                saved = time.monotonic()
            if interrupted:
                progress.done = done
                raise KeyboardInterrupt


def _save(path: Path, method: Method, optimiser: Optimiser, step: int) -> None:
    state = {"step": step, "method": method.state_dict(), "optimiser": optimiser.state_dict()}
    save_checkpoint(path, state)


def _resume(path: Path, method: Method, optimiser: Optimiser) -> int:
    """Take up the state in `path`, which the first process reads; returns the steps done."""
    state = load_checkpoint(path) if part().rank == 0 and path.exists() else None
    state = state_of_first(state)
    if state is None:
        return 0
    try:
        method.load_state_dict(state["method"])
        optimiser.load_state_dict(state["optimiser"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: training state of another network ({error})") from error
    return int(state["step"])

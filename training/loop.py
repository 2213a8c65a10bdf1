"""The training loop: a pure function of seed and step, so that a resumed run is bit-identical.

Nothing random is kept between steps. The order of images is drawn from (seed, epoch), the
augmentation from (seed, step), the paths from (seed, step): a checkpoint needs weights, optimiser
state and the step's number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.files import UserError
from training.augment import augment
from training.checkpoint import load_checkpoint, save_checkpoint
from training.data.image_set import ImageSet
from training.interrupt import InterruptRequest
from training.progress import Progress
from training.seeds import torch_stream
from training.settings import TrainingSettings

STEPS_BETWEEN_LOGS = 50


@dataclass(frozen=True)
class Normalisation:
    """What the network sees: pixels in [0, 1], less `mean`, over `std`, `size` pixels a side."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int


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


def steps_per_epoch(images: ImageSet, settings: TrainingSettings) -> int:
    """Full batches in one pass over `images`; the rest of an epoch's images is left out.

    Raises:
        UserError: there are fewer images than one batch.
    """
    if len(images) < settings.batch_size:
        raise UserError(
            f"batch_size {settings.batch_size} is larger than the {len(images)} training images"
        )
    return len(images) // settings.batch_size


def train(
    module: nn.Module,
    images: ImageSet,
    settings: TrainingSettings,
    normalisation: Normalisation,
    hooks: LoopHooks,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Path,
    label: str,
) -> None:
    """Train `module`'s parameters in place, from `checkpoint` on where it exists.

    Each step: for each path a forward and backward pass on the same augmented images, then one
    Adam step at learning_rate * (1 - step / steps). Parameters of no path keep `grad=None` and do
    not move, moments included.
    """
    per_epoch = steps_per_epoch(images, settings)
    total = per_epoch * settings.epochs
    optimiser = torch.optim.Adam(
        module.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    first = _resume(checkpoint, module, optimiser, hooks) if checkpoint.exists() else 0
    saved, started = time.monotonic(), time.monotonic()
    running = _RunningLoss()
    module.train()
    with Progress(label, total, first) as progress, InterruptRequest() as interrupt:
        batches = _batches(images, settings.batch_size, per_epoch, total, first, seed, device)
        for step, (pixels, labels) in enumerate(batches, start=first):
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * (1 - step / total)
            x = augment(
                pixels,
                settings.augment,
                normalisation.mean,
                normalisation.std,
                normalisation.size,
                torch_stream(seed, "augment", step),
            ).contiguous(memory_format=torch.channels_last)
            running.add(training_step(hooks.paths(step), optimiser, x, labels, settings))
            done = step + 1
            if done % STEPS_BETWEEN_LOGS == 0 or done == total:
                loss = running.take()
                if loss != loss:
                    raise ArithmeticError(
                        f"{label}: loss is NaN at step {done}; lower learning_rate"
                    )
                rate = (done - first) * settings.batch_size / (time.monotonic() - started)
                hooks.log(
                    step=done,
                    epoch=done / per_epoch,
                    loss=loss,
                    learning_rate=optimiser.param_groups[0]["lr"],
                    images_per_second=round(rate, 1),
                )
                progress.advance(done - progress.done, loss=loss)
            is_due = time.monotonic() - saved > settings.checkpoint_seconds
            if (is_due or interrupt.requested) and done < total:
                _save(checkpoint, module, optimiser, hooks, done)
                saved = time.monotonic()
            if interrupt.requested:
                raise KeyboardInterrupt


def training_step(
    paths: Sequence[nn.Module],
    optimiser: torch.optim.Optimizer,
    x: Tensor,
    labels: Tensor,
    settings: TrainingSettings,
) -> Tensor:
    """One optimiser step over the summed gradients of `paths`; returns the mean loss, detached."""
    optimiser.zero_grad(set_to_none=True)
    losses = []
    for path in paths:
        loss = F.cross_entropy(path(x), labels, label_smoothing=settings.label_smoothing)
        loss.backward()
        losses.append(loss.detach())
    optimiser.step()
    return torch.stack(losses).mean()


def _batches(
    images: ImageSet,
    batch_size: int,
    per_epoch: int,
    total: int,
    first: int,
    seed: int,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of steps first..total-1; an epoch is one permutation, cut into full batches."""
    step = first
    while step < total:
        epoch, within = divmod(step, per_epoch)
        order = torch.randperm(len(images), generator=torch_stream(seed, "order", epoch))
        left = order[within * batch_size : per_epoch * batch_size]
        yield from images.batches(left, batch_size, device)
        step = (epoch + 1) * per_epoch


def _save(
    path: Path,
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    hooks: LoopHooks,
    step: int,
) -> None:
    save_checkpoint(
        path,
        {
            "step": step,
            "module": module.state_dict(),
            "optimiser": optimiser.state_dict(),
            "extra": hooks.extra_state(),
        },
    )


def _resume(
    path: Path, module: nn.Module, optimiser: torch.optim.Optimizer, hooks: LoopHooks
) -> int:
    """Take up the state in `path`; returns the number of steps done."""
    state = load_checkpoint(path)
    try:
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: training state of another network ({error})") from error
    hooks.load_extra_state(state["extra"])
    return int(state["step"])


class _RunningLoss:
    """Mean loss since the last look, kept on the device so that a step need not wait for it."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []

    def add(self, loss: Tensor) -> None:
        self._losses.append(loss)

    def take(self) -> float:
        mean = torch.stack(self._losses).mean().item()
        self._losses.clear()
        return mean

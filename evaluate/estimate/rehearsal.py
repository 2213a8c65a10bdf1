"""The first steps of a training, done by its own loop to be timed, and thrown away."""

from __future__ import annotations

import io
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import torch

from training.augment.attention import attentive, extractor_of
from training.augment.config import AttentionConfig
from training.compilation import time_step
from training.loop.loop import train_phase
from training.loop.settings import TrainingSettings
from training.loop.supervised import SupervisedTraining
from training.loop.training import Training
from training.run_files.folder import RunFolder
from training.run_files.log import TrainingLog

SECONDS = 5.0
"""How long the steps of a training are timed, all its phases together."""
MIN_STEPS = 3
"""Of each phase, however long they take, where it has as many; the first of them warms up."""

EXTRACTED_AT_ONCE = 32


@dataclass(frozen=True)
class Rehearsal:
    """Seconds of the parts of a training.

    `start_s`: until the first step, with its images read. `step_s`: a step. `epoch_s`: what
    beginning another epoch adds, where processes that decode images are started anew.
    """

    start_s: float
    step_s: float
    epoch_s: float

    def seconds(self, steps_per_epoch: int, epochs: int) -> float:
        """Of a whole training."""
        steps = epochs * steps_per_epoch
        return self.start_s + steps * self.step_s + (epochs - 1) * self.epoch_s


class _EnoughError(Exception):
    """Ends the loop: the steps wanted are done."""


class Clock:
    """Notes when each step of a loop begins; ends the loop after so many `seconds` of steps."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._made = time.perf_counter()
        self.began: list[float] = []

    def tick(self) -> None:
        """To be called at the beginning of each step."""
        self.note()
        if len(self.began) > MIN_STEPS and self.began[-1] - self.began[0] > self._seconds:
            raise _EnoughError

    def note(self) -> None:
        """Note the seconds since this clock was made, once the device has done what it was told."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.began.append(time.perf_counter() - self._made)


def clocked(
    loop: Callable[[Clock, Path, TrainingLog], None], seconds: float, *, tensorboard: bool
) -> list[float]:
    """When each step of `loop` began, and the last ended; the loop gets a clock to be told.

    It gets a folder that goes with it, too, and a log there.
    """
    clock = Clock(seconds)
    # A bar or a last line of progress would speak of a training that is none.
    with (
        tempfile.TemporaryDirectory() as folder,
        redirect_stderr(io.StringIO()),
        TrainingLog(RunFolder(Path(folder), "rehearsal"), "rehearsal", tensorboard) as log,
        suppress(_EnoughError),
    ):
        loop(clock, Path(folder), log)
        clock.note()  # the training was shorter than that
    return clock.began


def rehearse(training: Training) -> float:
    """Seconds that `training` would take, all phases, not compiled.

    Runs it for a few seconds a phase: reading, augmentation, teacher, extractor, optimiser and log
    are its own. Moves its module's weights; leaves no file.
    """
    cached = None
    if isinstance(training, SupervisedTraining):
        settings = training.settings
        if (cached := missing_cache(settings)) is not None:
            training = replace(training, settings=_without_attention(settings))
    total = 0.0
    for number, phase in enumerate(training.phases, start=1):

        def loop(clock: Clock, folder: Path, log: TrainingLog, number: int = number) -> None:
            train_phase(replace(training, folder=folder), number, log, before_step=clock.tick)

        began = clocked(loop, SECONDS / len(training.phases), tensorboard=phase.tensorboard)
        per_epoch = training.steps(number).per_epoch
        total += parts_of(began, per_epoch).seconds(per_epoch, phase.epochs)
    return total if cached is None else total + _cache_seconds(cached, training)


def parts_of(began: Sequence[float], per_epoch: int) -> Rehearsal:
    """What the moments say at which steps 0, 1, ... began and the last ended (see `clocked`).

    Means, as the whole is a sum. The first step, which warms up, counts where it is alone.
    """
    lengths = [later - earlier for earlier, later in pairwise(began)]
    numbered = list(enumerate(lengths, start=1))
    timed = numbered[1:] or numbered
    within = [length for number, length in timed if number % per_epoch]
    across = [length for number, length in timed if number % per_epoch == 0]
    if not within:  # epochs of one step
        return Rehearsal(began[0], fmean(across), 0.0)
    step_s = fmean(within)
    # In a long epoch no second one begins; the first began like that, at most.
    epoch_s = max(fmean(across) - step_s, 0.0) if across else began[0]
    return Rehearsal(began[0], step_s, epoch_s)


def missing_cache(settings: TrainingSettings) -> AttentionConfig | None:
    """The extractor whose attention of all images is to be kept in a file that is not there yet."""
    config = attentive(settings.augment.mix)
    return config if config and config.cache and not config.cache.exists() else None


def _without_attention(settings: TrainingSettings) -> TrainingSettings:
    """Where the attention is kept, mixing by it takes next to nothing."""
    mixes = tuple(mix for mix in settings.augment.mix or () if mix.attention is None)
    augment = settings.augment.model_copy(update={"mix": mixes})
    return settings.model_copy(update={"augment": augment})


def _cache_seconds(config: AttentionConfig, training: Training) -> float:
    """Seconds of asking the extractor once for every image, by those of a first batch."""
    images = training.images
    extractor = extractor_of(config, images, training.seen, training.device)
    drawn = torch.arange(min(EXTRACTED_AT_ONCE, len(images)))
    pixels, _ = next(iter(images.batches(drawn, EXTRACTED_AT_ONCE, training.device)))
    x = training.seen.of_levels(pixels)
    return time_step(extractor.module, lambda: extractor(x), rounds=1) * len(images) / len(x)


def peak_memory_bytes() -> int:
    """The most main memory this process has had at once: torch, images, weights, activations."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    # Bytes on macOS, KiB elsewhere.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak

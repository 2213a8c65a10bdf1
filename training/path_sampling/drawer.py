"""The paths of each step of a supernet's training."""

from __future__ import annotations

from torch import nn

from supernet.architecture import Architecture
from supernet.network import Network
from supernet.supernet import Supernet
from training.path_sampling.config import PathSamplingConfig
from training.path_sampling.counts import DrawRecord
from training.path_sampling.periods import period_at, periods_of
from training.path_sampling.rules import draw
from training.seeds import stream

REAL = {"weights": "real", "activations": "identity"}


class PathDrawer:
    """Callable: the paths of a step, drawn from seed, phase and step alone, and recorded."""

    def __init__(
        self,
        supernet: Supernet,
        config: PathSamplingConfig,
        record: DrawRecord,
        *,
        seed: int,
        steps_per_epoch: int,
    ) -> None:
        self._supernet, self._config, self._record = supernet, config, record
        self._seed, self._steps_per_epoch = seed, steps_per_epoch
        self._periods = periods_of(supernet.space, config)
        self.begin(phase=1, epochs_before=0)

    def begin(self, phase: int, epochs_before: int) -> None:
        """Draw for `phase`, whose steps count anew, after so many epochs of those before it."""
        self._phase, self._epochs_before = phase, epochs_before

    def __call__(self, step: int) -> list[nn.Module]:
        # The first phase draws what it drew before there were several.
        address = (step,) if self._phase == 1 else (self._phase, step)
        period = period_at(self._periods, self._epochs_before + step // self._steps_per_epoch)
        drawn = draw(period, self._config, stream(self._seed, "paths", *address))
        self._record.add(drawn)
        paths = [self._supernet.path(architecture) for architecture in drawn.paths]
        if self._config.teacher_is_real:
            paths[0] = real_path(self._supernet, drawn.paths[0])
        return list(paths)


def real_path(supernet: Supernet, architecture: Architecture) -> Network:
    """The network of `architecture` with real weights and activations, else as the others are."""
    binarization = supernet.binarization.model_copy(update=REAL)
    return supernet.path(architecture, binarization)

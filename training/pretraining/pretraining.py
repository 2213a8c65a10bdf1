"""A pre-training as the loop takes it: each step shows the method two views of the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from supernet.network import Network
from training.loop.batches import Images
from training.loop.training import Moment, Training
from training.optim import Optimiser
from training.pretraining.build import draw_inputs
from training.pretraining.config import PretrainConfig
from training.pretraining.method import Method
from training.processes.distributed import average_gradients


@dataclass(kw_only=True)
class Pretraining(Training):
    """Teaches `network`, whose blocks the method's encoder has, in one phase.

    A checkpoint has the target encoder and the queue too, and the last one stays: the features are
    scored after it.
    """

    module: Method
    network: Network
    settings: PretrainConfig
    keeps_last: ClassVar[bool] = True

    @property
    def phases(self) -> Sequence[PretrainConfig]:
        return [self.settings]

    @property
    def learning(self) -> nn.Module:
        return self.module.online

    def begin(self, number: int) -> None:
        """Nothing: the method is made ready as it is built."""

    def step(self, images: Images, moment: Moment, optimiser: Optimiser) -> Tensor:
        step, steps, own = moment
        method = self.module
        optimiser.zero_grad(set_to_none=True)
        method.before_step(step, steps.per_epoch)
        drawn = draw_inputs(images.pixels, self.settings, self.seen, steps.seed, step, own)
        loss = method.loss(*drawn)
        loss.backward()
        average_gradients(method.online.parameters())
        optimiser.step()
        method.after_step((step + 1) / steps.total)
        return loss.detach()

    def state(self) -> dict[str, Any]:
        return {"method": self.module.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state["method"])

"""What every method of pre-training offers the loop."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from training.pretraining.unmix import Mixture


class Method(nn.Module, ABC):
    """A loss over two views of the same images. Only `online` is trained by gradients.

    Its state dict, buffers included, is all that a checkpoint has to keep of it.
    """

    online: nn.Module

    @abstractmethod
    def loss(self, first: Tensor, second: Tensor, mixture: Mixture | None) -> Tensor:
        """The mean loss of a batch: images (N, C, H, W) twice, and Un-Mix's mixture of the first.

        L(first, second) + share * L(mixture, second) + (1 - share) * L(reversed mixture, second).
        Mixtures are seen by `online` alone; what it is compared with is never mixed.
        """

    def after_step(self, progress: float) -> None:
        """Take up what the step has changed; `progress` is the share of all steps done."""

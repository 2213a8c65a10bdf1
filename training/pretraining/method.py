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

        Each of several processes gives its part of the images; rows are gathered (`gather_rows`),
        and the loss is that of the whole batch in all of them.

        L(first, second) + share * L(mixture, second) + (1 - share) * L(reversed mixture, second).
        Mixtures are seen by `online` alone; keys, targets and queues are never mixed.
        """

    def before_step(self, step: int, steps_per_epoch: int) -> None:
        """Make ready for a step: a function of its number (from 0) and of what is learned."""

    def after_step(self, progress: float) -> None:
        """Take up what the step has changed; `progress` is the share of all steps done."""

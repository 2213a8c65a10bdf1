"""One block of a supernet that can be several: what every way of sharing weights answers."""

from __future__ import annotations

from torch import nn

from supernet.binarization import Binarization
from supernet.blocks.block import Block
from supernet.spec import BlockSpec


class Choices(Block):
    """All alternatives of one block of a supernet, and the weights of which they are made."""

    def path(self, spec: BlockSpec, binarization: Binarization) -> nn.Module:
        """The alternative of `spec`, made of this block's own weights.

        Sharing of `FROM_LARGEST` takes `binarization` for it; elsewhere all alternatives have the
        one that was set.
        """
        raise NotImplementedError

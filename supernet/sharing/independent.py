"""One block of a supernet whose alternatives have nothing in common."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from supernet.binarization import Binarization
from supernet.sharing.choices import Choices
from supernet.spec import BlockSpec


class BlockChoices(Choices):
    """The blocks that one block of a supernet can be: a whole module each, no weight shared."""

    def __init__(self, candidates: Mapping[BlockSpec, nn.Module]) -> None:
        super().__init__()
        self.candidates = nn.ModuleList(candidates.values())
        self._numbers = {spec: number for number, spec in enumerate(candidates)}

    def path(self, spec: BlockSpec, binarization: Binarization) -> nn.Module:
        """The module of `spec`."""
        return self.candidates[self._numbers[spec]]

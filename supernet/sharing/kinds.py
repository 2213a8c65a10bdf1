"""The blocks of a supernet made from the largest network, where alternatives differ in kind too."""

from __future__ import annotations

from collections.abc import Hashable
from typing import cast

import torch
from torch import nn

from supernet.binarization import Binarization
from supernet.costs import Costs, layer_cost
from supernet.files import UserError
from supernet.sharing.choices import Choices
from supernet.sharing.generated import GeneratedBlock
from supernet.sharing.sliced import SlicedBlock
from supernet.sharing.ways import Sharing
from supernet.space import SearchSpace
from supernet.spec import BlockSpec


class SlicedKinds(Choices):
    """The kinds of one block, each with weights of which its alternatives are slices.

    A kind's weights are those of its candidate of most bits, the first of several. In sharing
    'generated' the weights are made for each.
    """

    def __init__(
        self, space: SearchSpace, candidates: tuple[BlockSpec, ...], sharing: Sharing
    ) -> None:
        super().__init__()
        kind = GeneratedBlock if sharing == "generated" else SlicedBlock
        found: dict[Hashable, list[BlockSpec]] = {}
        for spec in candidates:
            found.setdefault(space.weights_of(spec), []).append(spec)
        self.kinds = nn.ModuleList(kind(_largest_first(specs)) for specs in found.values())
        self._numbers = {kind: number for number, kind in enumerate(found)}
        self._space = space

    def path(self, spec: BlockSpec, binarization: Binarization) -> nn.Module:
        """The block of `spec`, made of the weights of its kind."""
        kind = self._space.weights_of(spec)
        return cast(SlicedBlock, self.kinds[self._numbers[kind]]).path(spec, binarization)


def _largest_first(specs: list[BlockSpec]) -> tuple[BlockSpec, ...]:
    def bits(spec: BlockSpec) -> int:
        return sum((layer_cost(layer) for layer in spec.layers()), Costs()).bits

    largest = max(specs, key=bits)
    return (largest, *(spec for spec in specs if spec != largest))


def sliced_blocks(space: SearchSpace, sharing: Sharing) -> dict[str, SlicedKinds]:
    """The blocks of a supernet of `space`, by name."""
    around = space.blocks_around_largest()
    return {name: SlicedKinds(space, specs, sharing) for name, specs in around.items()}


def check_slices(space: SearchSpace, sharing: Sharing) -> None:
    """Demand that every alternative one choice away from the largest network lies within it.

    Raises:
        UserError: one does not; names the block.
    """
    for name, specs in space.blocks_around_largest().items():
        try:
            with torch.device("meta"):
                kinds = SlicedKinds(space, specs, sharing)
                for spec in specs:
                    kinds.path(spec, Binarization())
        except ValueError as error:
            raise UserError(
                f"sharing '{sharing}': block '{name}' of space '{space.name}' is not always made "
                f"from the largest network's: {error}"
            ) from error

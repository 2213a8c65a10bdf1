"""The supernet: shared weights of every architecture of a space, one path active at a time.

Single Path One-Shot (Guo et al., ECCV 2020, arXiv 1904.00420).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import cast

from torch import Tensor, nn

from supernet.architecture import Architecture
from supernet.binarization import Binarization
from supernet.blocks.building import build_block, set_binarization, set_precision
from supernet.files import UserError
from supernet.layers.binary_conv import Precision
from supernet.network import Network, compile_units, stand_alone_copy
from supernet.sharing import FROM_LARGEST, Sharing
from supernet.sharing.choices import Choices
from supernet.sharing.independent import BlockChoices
from supernet.sharing.kinds import check_slices, sliced_blocks
from supernet.sharing.nested import BinaryUnitChoices
from supernet.space import SearchSpace
from supernet.spec import BinaryUnitSpec, BlockSpec

MAX_CACHED_PATHS = 256


class Supernet(nn.Module):
    """Weights for every choice of every block of `space`.

    `path(architecture)` is the network of one architecture made of the shared weights themselves;
    `extract(architecture)` is a stand-alone copy. Both give bit-identical outputs as long
    as weights keep their layout in memory: where the space wants BatchNorms without factor and
    shift here, the copy's are 1 and 0.

    Raises:
        UserError: nested sharing of blocks that have nothing in common.
    """

    def __init__(self, space: SearchSpace, sharing: Sharing = "independent") -> None:
        super().__init__()
        if sharing not in FROM_LARGEST:
            check_shareable(space, sharing)
        self.space, self.sharing, self.binarization = space, sharing, Binarization()
        self.blocks = nn.ModuleDict(
            sliced_blocks(space, sharing)
            if sharing in FROM_LARGEST
            else {name: _build(specs, sharing) for name, specs in space.block_candidates().items()}
        )
        if not space.supernet_norms_affine:
            _remove_affine(self)
        self._paths: OrderedDict[tuple[Architecture, Binarization], Network] = OrderedDict()

    def path(self, architecture: Architecture, binarization: Binarization | None = None) -> Network:
        """The network of `architecture` whose modules are the supernet's own.

        Where weights are sliced or generated, a path can have another `binarization` than the rest.
        """
        key = architecture, binarization or self.binarization
        if key[1] != self.binarization and self.sharing not in FROM_LARGEST:
            raise ValueError(f"sharing '{self.sharing}' has one binarization for all paths")
        if key not in self._paths:
            spec = self.space.decode(architecture)
            named = zip(spec.block_names, spec.blocks, strict=True)
            self._paths[key] = Network(
                spec, {name: self._active(name, block, key[1]) for name, block in named}
            )
            if len(self._paths) > MAX_CACHED_PATHS:
                self._paths.popitem(last=False)
        return self._paths[key]

    def forward(self, x: Tensor, architecture: Architecture) -> Tensor:
        """Logits (N, classes) of images (N, C, H, W) along one path."""
        return self.path(architecture)(x)

    def extract(self, architecture: Architecture) -> Network:
        """A stand-alone network with copies of the weights and statistics of one path."""
        return stand_alone_copy(self.path(architecture)).train(self.training)

    def set_precision(self, precision: Precision) -> None:
        """Choose where the operands are bf16, for every path."""
        set_precision(self, precision)

    def set_binarization(self, binarization: Binarization) -> None:
        """Choose how the binary convolutions of every path are made."""
        self.binarization = binarization
        if self.sharing not in FROM_LARGEST:
            self._paths.clear()
            set_binarization(self, binarization)

    def compile_units(self) -> None:
        """Compile the binary units of every path, each on its first use."""
        if self.sharing not in FROM_LARGEST:
            compile_units(self)

    def _active(self, name: str, spec: BlockSpec, binarization: Binarization) -> nn.Module:
        block = self.blocks[name]
        return block.path(spec, binarization) if isinstance(block, Choices) else block


def check_shareable(space: SearchSpace, sharing: Sharing) -> None:
    """Demand that the alternatives of every block can share weights as `sharing` says.

    Raises:
        UserError: nested sharing of blocks that have nothing in common; sliced or generated sharing
            of blocks that cannot be made from the largest network's; independent sharing of more
            alternatives than can be listed.
    """
    match sharing:
        case "nested":
            for name, candidates in space.block_candidates().items():
                if len(candidates) > 1 and not _differ_in_groups(candidates):
                    raise UserError(
                        f"sharing 'nested' is for binary units that differ in their groups alone; "
                        f"block '{name}' of space '{space.name}' is a choice of whole blocks: use "
                        f"sharing 'independent' or 'sliced'"
                    )
        case "sliced" | "generated":
            check_slices(space, sharing)
        case "independent":
            space.block_candidates()


def _differ_in_groups(candidates: tuple[BlockSpec, ...]) -> bool:
    """Whether they are binary units that differ in their groups alone."""
    first = candidates[0]
    return isinstance(first, BinaryUnitSpec) and all(
        isinstance(spec, BinaryUnitSpec) and replace(spec, groups=first.groups) == first
        for spec in candidates
    )


def _build(candidates: tuple[BlockSpec, ...], sharing: Sharing) -> nn.Module:
    """A plain block where there is nothing to choose, else the block that holds the choices."""
    if len(candidates) == 1:
        return build_block(candidates[0])
    if _differ_in_groups(candidates):
        return BinaryUnitChoices(cast(tuple[BinaryUnitSpec, ...], candidates), sharing)
    return BlockChoices({spec: build_block(spec) for spec in candidates})


def _remove_affine(module: nn.Module) -> None:
    """Take the learned factor and shift from every BatchNorm below `module`."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.affine = False
            norm.register_parameter("weight", None)
            norm.register_parameter("bias", None)

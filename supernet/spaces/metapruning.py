"""MetaPruning's channel search: how many channels each layer of a real-valued network keeps.

"MetaPruning: Meta Learning for Automatic Neural Network Channel Pruning" (Liu et al., ICCV 2019,
arXiv 1903.10258), after the authors' code (liuzechun/MetaPruning), with whose widths, counts and
found vectors it was compared. Differs from it: the vector of
MobileNetV1 means the same network in search and retraining (in the code, retraining reads position
i - 1 for layer i); MobileNetV2 adds shortcuts within a stage alone (in the code, retraining adds
them wherever two numbers of channels happen to be equal); no norm of the supernet has factor and
shift (in the code, in MobileNetV1, the stem's and each depthwise one's have).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from typing import Any, ClassVar

from supernet.architecture import Architecture
from supernet.files import UserError
from supernet.space import Position, SearchSpace
from supernet.spaces.metapruning_plans import PlannedBlock, Pruned, plan_network
from supernet.spec import BlockSpec, NetworkSpec
from supernet.spec.building import Image, Stem, demand_whole, demand_width

PERCENTS = tuple(range(10, 101, 3))
"""The paper's 31 scales: 10 %, 13 %, ..., 100 %."""
MAX_ALTERNATIVES = 5_000
"""Blocks that `block_candidates` lists, over the whole network."""


@dataclass(frozen=True)
class MetaPruning(SearchSpace):
    """A network whose layers keep a percentage of their channels, rounded down; 32-bit.

    A choice is that percentage: as a whole number it reads as what it is, and has one form in
    JSON. Positions: for MobileNetV1 the stem's output and each block's, but the last; for
    MobileNetV2 and ResNet-50 the stem's, each stage's (but ResNet's last), whose blocks are tied
    by their shortcuts, and the middle of each block. `width` is a factor on the paper's channels
    before that; `stem` small is for images of 32 pixels.
    """

    name: ClassVar[str] = "metapruning"
    supernet_norms_affine: ClassVar[bool] = False

    network: Pruned = "mobilenet-v1"
    image_size: int = 224
    classes: int = 1000
    in_channels: int = 3
    percents: tuple[int, ...] = PERCENTS
    width: float = 1.0
    stem: Stem = "published"

    def __post_init__(self) -> None:
        where = f"space '{self.name}'"
        demand_whole(
            where, image_size=self.image_size, classes=self.classes, in_channels=self.in_channels
        )
        demand_width(where, self.width)
        distinct = len(set(self.percents)) == len(self.percents)
        if not self.percents or not distinct or not all(1 <= p <= 100 for p in self.percents):
            raise UserError(
                f"space '{self.name}': percents must be distinct whole numbers from 1 to 100"
            )
        least = min(self.percents)
        for block in self._plan:
            for width in block.widths.values():
                if width.position and width.channels({width.position: least}) < 1:
                    raise UserError(
                        f"space '{self.name}': {least} percent of the {width.base} channels at "
                        f"'{width.position}' leaves none"
                    )

    @cached_property
    def _plan(self) -> tuple[PlannedBlock, ...]:
        image = Image(self.in_channels, self.image_size)
        try:
            return plan_network(self.network, image, self.stem, self.classes, self.width)
        except UserError as error:
            raise UserError(f"space '{self.name}': {error}") from error

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """In the order of the authors' vectors: outputs, then middles (`block1.mid`, ...)."""
        widths = (
            block.widths[field]
            for field in ("out_channels", "mid_channels")
            for block in self._plan
            if field in block.widths
        )
        names = dict.fromkeys(width.position for width in widths if width.position)
        return tuple(Position(name, self.percents, "percent") for name in names)

    def describe(self) -> dict[str, Any]:
        """Name and all options; tuples as JSON lists."""
        return {"name": self.name, **asdict(self), "percents": list(self.percents)}

    def decode(self, architecture: Architecture) -> NetworkSpec:
        """The chain stem, blocks, head; ResNet-50 has a pool and MobileNetV2 a last convolution."""
        return NetworkSpec(
            self.name,
            self.in_channels,
            self.image_size,
            self.classes,
            tuple(block.name for block in self._plan),
            tuple(block.spec(architecture) for block in self._plan),
        )

    def uniform(self, percent: int) -> Architecture:
        """The same percentage everywhere; what has no position stays whole."""
        return self.architecture({position.name: percent for position in self.positions})

    def uniform_architectures(self) -> dict[str, Architecture]:
        """`uniform 40%` and so on, for every percentage."""
        return {f"uniform {percent}%": self.uniform(percent) for percent in self.percents}

    def largest(self) -> Architecture:
        """The greatest percentage everywhere."""
        return self.uniform(max(self.percents))

    def block_candidates(self) -> dict[str, tuple[BlockSpec, ...]]:
        """Every combination of the positions that a block depends on, two or three.

        Raises:
            UserError: they are too many to build or measure one by one.
        """
        counts = [len(self.percents) ** len(block.positions) for block in self._plan]
        if sum(counts) > MAX_ALTERNATIVES:
            raise UserError(
                f"space '{self.name}': {len(self.percents)} percents make {sum(counts):,} "
                f"different blocks, more than the {MAX_ALTERNATIVES:,} that can be built or "
                f"measured one by one; choose fewer percents, or, for a supernet, sharing 'sliced'"
            )
        return {block.name: self._alternatives(block) for block in self._plan}

    def _alternatives(self, block: PlannedBlock) -> tuple[BlockSpec, ...]:
        combinations = product(self.percents, repeat=len(block.positions))
        chosen = (dict(zip(block.positions, one, strict=True)) for one in combinations)
        return tuple(dict.fromkeys(map(block.spec, chosen)))

"""Single Path One-Shot's block search: a real-valued ShuffleNetV2 whose blocks are chosen.

"Single Path One-Shot Neural Architecture Search with Uniform Sampling" (Guo et al., ECCV 2020,
arXiv 1904.00420), as in the authors' code (megvii-model/SinglePathOneShot), where the choices are
numbered 0 to 3 in the order here. Differs from it: no dropout of 0.1 before the linear layer, and
torch's initialisation.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

from supernet.architecture import Architecture, Choice
from supernet.files import UserError
from supernet.space import Position, SearchSpace
from supernet.spec import BlockSpec, HeadSpec, NetworkSpec, ShuffleBlockSpec, StemSpec
from supernet.spec.building import Chain, Image, demand_whole

CHOICES = ("3x3", "5x5", "7x7", "xception")
STAGES = ((64, 4), (160, 4), (320, 8), (640, 4))
"""(channels, blocks) of the paper's stages; the first block of each has stride 2."""

WIDTHS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
"""The channel scales of the authors' code."""


@dataclass(frozen=True)
class SposBlocks(SearchSpace):
    """Stem, stages of shuffle blocks, 1x1 convolution, pooling, linear without bias; 32-bit.

    One position a block: the size of its depthwise kernel, or three depthwise 3x3 convolutions. A
    block's branches have half its channels inside, times its number in `mid_scales` (empty: 1 for
    all), rounded down. With `widths` that number is searched too, at positions `blockN.width` after
    all others (the paper's second search; its numbers are `WIDTHS`). `stem_stride` 1 is for images
    of 32 pixels.
    """

    name: ClassVar[str] = "spos-blocks"
    supernet_norms_affine: ClassVar[bool] = False
    usual_widths: ClassVar[tuple[float, ...]] = WIDTHS

    image_size: int = 224
    classes: int = 1000
    in_channels: int = 3
    stem_channels: int = 16
    stem_stride: int = 2
    stages: tuple[tuple[int, int], ...] = STAGES
    last_channels: int = 1024
    mid_scales: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        demand_whole(
            f"space '{self.name}'",
            image_size=self.image_size,
            classes=self.classes,
            in_channels=self.in_channels,
            stem_channels=self.stem_channels,
            last_channels=self.last_channels,
        )
        if self.stem_stride not in (1, 2):
            raise UserError(f"space '{self.name}': stem_stride must be 1 or 2")
        if not self.stages:
            raise UserError(f"space '{self.name}': stages must hold at least one stage")
        before = self.stem_channels
        for number, (channels, blocks) in enumerate(self.stages, start=1):
            if channels <= before or channels % 2 or blocks < 1:
                raise UserError(
                    f"space '{self.name}': stages: stage {number} has {channels} channels and "
                    f"{blocks} blocks; expected an even number of channels above {before}, and at "
                    f"least one block"
                )
            before = channels
        self._check_scales()

    def _check_scales(self) -> None:
        if self.widths and self.mid_scales:
            raise UserError(f"space '{self.name}': give mid_scales or widths to search, not both")
        if list(self.widths) != sorted(set(self.widths)):
            raise UserError(f"space '{self.name}': widths must be distinct and ascend")
        for width in self.widths:
            narrowest = self.stages[0][0] // 2
            if not math.isfinite(width) or int(narrowest * width) < 1:
                raise UserError(
                    f"space '{self.name}': widths: {width} of {narrowest} channels; expected a "
                    f"finite number that leaves at least one"
                )
        if self.mid_scales and len(self.mid_scales) != len(self._shapes):
            raise UserError(
                f"space '{self.name}': mid_scales has {len(self.mid_scales)} numbers; expected "
                f"none, or {len(self._shapes)}, one a block"
            )
        for (_, out, _), scale in zip(self._shapes, self.mid_scales, strict=False):
            if not math.isfinite(scale) or out // 2 * scale < 1:
                raise UserError(
                    f"space '{self.name}': mid_scales: {scale} of {out // 2} channels; expected a "
                    f"finite number that leaves at least one"
                )

    @cached_property
    def _shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(input channels, output channels, stride) of each block."""
        return tuple(self._each_shape())

    def _each_shape(self) -> Iterator[tuple[int, int, int]]:
        before = self.stem_channels
        for channels, blocks in self.stages:
            yield before, channels, 2
            yield from [(channels, channels, 1)] * (blocks - 1)
            before = channels

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """`block1`, `block2`, ...; then `block1.width`, ... where widths are searched."""
        numbers = range(1, len(self._shapes) + 1)
        kinds = tuple(Position(f"block{number}", CHOICES, "kind") for number in numbers)
        if not self.widths:
            return kinds
        widths = (Position(f"block{number}.width", self.widths, "width") for number in numbers)
        return (*kinds, *widths)

    def describe(self) -> dict[str, Any]:
        """Name and all options; tuples as JSON lists."""
        options = asdict(self)
        options["stages"] = [list(stage) for stage in self.stages]
        options["mid_scales"] = list(self.mid_scales)
        options["widths"] = list(self.widths)
        return {"name": self.name, **options}

    def decode(self, architecture: Architecture) -> NetworkSpec:
        """The chain stem, blocks, last convolution, head."""
        chain = Chain(Image(self.in_channels, self.image_size))
        stem = (self.in_channels, self.stem_channels, 3, self.stem_stride, chain.size)
        chain.add("stem", StemSpec(*stem, relu=True))
        for number, shape in enumerate(self._shapes, start=1):
            name, scale = f"block{number}", self._scale(architecture, number)
            chain.add(name, _block(str(architecture[name]), *shape, scale, chain.size))
        last = self.last_channels
        chain.add("last_conv", StemSpec(self.stages[-1][0], last, 1, 1, chain.size, relu=True))
        chain.add("head", HeadSpec(last, self.classes, chain.size, bias=False))
        return chain.network(self.name, self.classes)

    def _scale(self, architecture: Architecture, number: int) -> float:
        """The factor on the channels inside a block's branches."""
        if self.widths:
            return float(architecture[f"block{number}.width"])
        return self.mid_scales[number - 1] if self.mid_scales else 1.0

    def block_candidates(self) -> dict[str, tuple[BlockSpec, ...]]:
        """A block depends on two positions where widths are searched."""
        if not self.widths:
            return super().block_candidates()
        numbers = range(1, len(self._shapes) + 1)
        return self.blocks_over(self.first(), *((f"block{n}", f"block{n}.width") for n in numbers))

    def weights_of(self, block: BlockSpec) -> Hashable:
        """Kinds of block share nothing, as in the paper; widths are slices of one weight."""
        if isinstance(block, ShuffleBlockSpec):
            return block.kernel_size, block.xception
        return None

    def _uniform(self, choice: str, width: float) -> Architecture:
        numbers = range(1, len(self._shapes) + 1)
        chosen: dict[str, Choice] = {f"block{number}": choice for number in numbers}
        if self.widths:
            chosen |= {f"block{number}.width": width for number in numbers}
        return self.architecture(chosen)

    def uniform_architectures(self) -> dict[str, Architecture]:
        """`uniform 3x3` and so on: the same choice in every block, of the width nearest 1."""
        width = min(self.widths, key=lambda width: abs(width - 1)) if self.widths else 1.0
        return {f"uniform {choice}": self._uniform(choice, width) for choice in CHOICES}


def _block(
    choice: str, before: int, after: int, stride: int, scale: float, size: int
) -> ShuffleBlockSpec:
    xception = choice == "xception"
    kernel = 3 if xception else int(choice[0])
    mid = int(after // 2 * scale)
    return ShuffleBlockSpec(before, mid, after, kernel, stride, size, xception)

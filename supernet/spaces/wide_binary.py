"""A wide space of binary networks: groups x width x kernel x depth.

After "NAS-BNN: Neural Architecture Search for Binary Neural Networks" (Lin et al., 2024, arXiv
2408.15484), whose space has these four. Topology and block are those of `mobilenet-groups`:
ReActNet's, after MobileNetV1. Meant for sliced sharing and sandwich sampling, the largest network
with real weights as the others' teacher.
Differs from the authors' code (VDIGPKU/NAS-BNN): there widths belong to blocks and never fall from
one to the next, the stem has 8-bit weights and a width of its own, and each stage has kernels and
groups of its own to choose from. Its teacher has real weights and binary activations; here
(`teacher_is_real`) both are real. Neither its recipe is used here nor its count of OPs compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

from supernet.architecture import Architecture, Choice
from supernet.files import UserError
from supernet.space import Position, SearchSpace
from supernet.spec import (
    Activation,
    BlockSpec,
    HeadSpec,
    NetworkSpec,
    StemSpec,
)
from supernet.spec.building import MOBILENET_STAGES, MOBILENET_STEM, Chain, Image, demand_whole
from supernet.spec.units import unit_pair


@dataclass(frozen=True)
class WideBinary(SearchSpace):
    """Stem, stages of (kxk group convolution, 1x1 convolution), pooling, linear; binary inside.

    Positions: `stageN.width`, the share of the stage's channels; `stageN.depth`, how many of its
    blocks there are, from `min_blocks` on; and for each block `.kernel` and `.groups` of its kxk
    convolution. All channels are multiples of the largest group number, so that every choice goes
    with every other. Where channels change, the shortcut takes its input's in a circle. Choices at
    blocks that a shallower network leaves out have no effect.
    """

    name: ClassVar[str] = "wide-binary"

    image_size: int = 224
    classes: int = 1000
    in_channels: int = 3
    stem_channels: int = MOBILENET_STEM
    stem_stride: int = 2
    stages: tuple[tuple[int, int, int], ...] = MOBILENET_STAGES
    widths: tuple[float, ...] = (0.5, 0.75, 1.0)
    kernels: tuple[int, ...] = (3, 5)
    groups: tuple[int, ...] = (1, 2, 4, 8)
    min_blocks: int = 1
    activation: Activation = "prelu"
    rsign: bool = False

    def __post_init__(self) -> None:
        demand_whole(
            f"space '{self.name}'",
            image_size=self.image_size,
            classes=self.classes,
            in_channels=self.in_channels,
            stem_channels=self.stem_channels,
            min_blocks=self.min_blocks,
        )
        if self.stem_stride not in (1, 2):
            raise self._error("stem_stride must be 1 or 2")
        for what in ("widths", "kernels", "groups"):
            values = getattr(self, what)
            if not values or list(values) != sorted(set(values)) or values[0] <= 0:
                raise self._error(f"{what} must ascend, be distinct and above 0, one at least")
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise self._error("kernels must be odd, so that they have a common middle")
        if not self.stages:
            raise self._error("stages must hold at least one stage")
        for number, (channels, blocks, stride) in enumerate(self.stages, start=1):
            if channels < 1 or blocks < 1 or stride not in (1, 2):
                raise self._error(
                    f"stages: stage {number} has {channels} channels, {blocks} blocks and stride "
                    f"{stride}; expected channels and blocks above 0, stride 1 or 2"
                )
        self._check_divisible()

    def _check_divisible(self) -> None:
        divisor = math.lcm(*self.groups)
        numbers: dict[float, str] = {self.stem_channels: "stem_channels"}
        for number, (channels, _, _) in enumerate(self.stages, start=1):
            for width in self.widths:
                numbers.setdefault(channels * width, f"stage {number} at width {width:g}")
        for value, where in numbers.items():
            if not math.isfinite(value) or value % divisor:
                raise self._error(
                    f"{where}: {value:g} channels are no multiple of {divisor}, which all of the "
                    f"groups {', '.join(map(str, self.groups))} divide"
                )

    def _error(self, what: str) -> UserError:
        return UserError(f"space '{self.name}': {what}")

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """`stage1.width`, `stage1.depth`, `stage1.block1.kernel`, `stage1.block1.groups`, ..."""
        return tuple(self._each_position())

    def _each_position(self) -> Iterator[Position]:
        """One of a single choice is left out: there is nothing to search."""
        for stage, (_, blocks, _) in enumerate(self.stages, start=1):
            depths = tuple(range(min(self.min_blocks, blocks), blocks + 1))
            offered = [
                Position(f"stage{stage}.width", self.widths, "width"),
                Position(f"stage{stage}.depth", depths, "depth"),
            ]
            for block in range(1, blocks + 1):
                place = f"stage{stage}.block{block}"
                offered.append(Position(f"{place}.kernel", self.kernels, "kernel"))
                offered.append(Position(f"{place}.groups", self.groups, "groups"))
            yield from (position for position in offered if len(position.choices) > 1)

    def describe(self) -> dict[str, Any]:
        """Name and all options; tuples as JSON lists."""
        options = asdict(self)
        for what in ("widths", "kernels", "groups"):
            options[what] = list(options[what])
        options["stages"] = [list(stage) for stage in self.stages]
        return {"name": self.name, **options}

    def decode(self, architecture: Architecture) -> NetworkSpec:
        """The chain stem, (spatial, pointwise) x blocks that are there, head."""
        chain, before = Chain(Image(self.in_channels, self.image_size)), self.stem_channels
        chain.add("stem", StemSpec(self.in_channels, before, 3, self.stem_stride, chain.size))
        for stage, (channels, blocks, first_stride) in enumerate(self.stages, start=1):
            width = float(architecture.get(f"stage{stage}.width", self.widths[0]))
            depth = int(architecture.get(f"stage{stage}.depth", blocks))
            after = int(channels * width)
            for block in range(1, depth + 1):
                place = f"stage{stage}.block{block}"
                stride = first_stride if block == 1 else 1
                spatial, pointwise = unit_pair(
                    before,
                    after,
                    chain.size,
                    stride=stride,
                    kernel_size=int(architecture.get(f"{place}.kernel", self.kernels[0])),
                    groups=int(architecture.get(f"{place}.groups", self.groups[0])),
                    activation=self.activation,
                    rsign=self.rsign,
                )
                chain.add(f"stage{stage}_block{block}_spatial", spatial)
                chain.add(f"stage{stage}_block{block}_pointwise", pointwise)
                before = after
        chain.add("head", HeadSpec(before, self.classes, chain.size))
        return chain.network(self.name, self.classes)

    def block_candidates(self) -> dict[str, tuple[BlockSpec, ...]]:
        """A block depends on its stage's width, the width before it, its kernel and its groups."""
        deepest = {p.name: p.choices[-1] for p in self.positions if p.axis == "depth"}
        centre = self.architecture({**dict(self.first().choices), **deepest})
        known = {position.name for position in self.positions}
        near = []
        for stage, (_, blocks, _) in enumerate(self.stages, start=1):
            widths = [f"stage{stage - 1}.width", f"stage{stage}.width"]
            for block in range(1, blocks + 1):
                place = f"stage{stage}.block{block}"
                names = [*widths, f"{place}.kernel", f"{place}.groups"]
                near.append([name for name in names if name in known])
        return self.blocks_over(centre, *near)

    def uniform_architectures(self) -> dict[str, Architecture]:
        """`g=N w=W`: full depth, the smallest kernels, the same groups and width everywhere."""
        found: dict[Architecture, str] = {}
        for groups in self.groups:
            for width in self.widths:
                values: dict[str | None, Choice] = {"groups": groups, "width": width}
                chosen = {
                    p.name: values.get(p.axis, p.choices[-1 if p.axis == "depth" else 0])
                    for p in self.positions
                }
                found.setdefault(self.architecture(chosen), f"g={groups} w={width:g}")
        return {name: architecture for architecture, name in found.items()}

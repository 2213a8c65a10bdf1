"""The networks that MetaPruning (arXiv 1903.10258) prunes, as blocks whose widths are open.

Widths, strides and ties as in the authors' code (liuzechun/MetaPruning): MobileNetV1, MobileNetV2
at 1.4 times its width, ResNet-50.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from supernet.architecture import Choice
from supernet.files import UserError
from supernet.spec import (
    BlockSpec,
    ClippedConvSpec,
    HeadSpec,
    InvertedResidualSpec,
    PoolSpec,
    ResidualBottleneckSpec,
    SeparableSpec,
    StemSpec,
)
from supernet.spec.building import MOBILENET_BLOCKS, MOBILENET_STEM, Chain, Image, Stem

Pruned = Literal["mobilenet-v1", "mobilenet-v2", "resnet-50"]

V2_STEM, V2_LAST = 44, 1280
V2_STAGES = (
    (22, 1, 1),
    (33, 2, 2),
    (44, 3, 2),
    (88, 4, 2),
    (132, 3, 1),
    (224, 3, 2),
    (448, 1, 1),
)
"""(output channels, blocks, stride of the first)."""
RESNET_STEM = 64
RESNET_STAGES = ((256, 3, 1), (512, 4, 2), (1024, 6, 2), (2048, 3, 2))
"""Likewise."""


class Width(NamedTuple):
    """Channels of a tensor: the percentage of `base` chosen at `position`; without one, all."""

    base: int
    position: str = ""

    def channels(self, percents: Mapping[str, Choice]) -> int:
        """Rounded down; all channels where `percents` has no choice."""
        # In whole numbers. The authors' int(base * scale), scale being percent / 100, is the same
        # for every base here. It is not for scale = 0.1 + 0.03 i: 0.1 + 0.03 * 30 is below 1.
        return self.base * int(percents.get(self.position, 100)) // 100


class PlannedBlock(NamedTuple):
    """A block whose fields `widths` depend on choices; `fixed` are its other fields."""

    name: str
    kind: Callable[..., BlockSpec]
    widths: Mapping[str, Width]
    fixed: Mapping[str, Any]

    @property
    def positions(self) -> tuple[str, ...]:
        """What it depends on; a position that several widths share comes once."""
        return tuple(dict.fromkeys(w.position for w in self.widths.values() if w.position))

    def spec(self, percents: Mapping[str, Choice]) -> BlockSpec:
        """The block of these choices, in percent by position."""
        channels = {name: width.channels(percents) for name, width in self.widths.items()}
        return self.kind(**channels, **self.fixed)


@dataclass
class Plan:
    """Blocks so far, the chain that they are when whole, and the width of the last one's map.

    The chain's factor on the paper's numbers of channels here rounds down.
    """

    whole: Chain
    blocks: list[PlannedBlock] = field(default_factory=list)
    last: Width = field(init=False)

    def __post_init__(self) -> None:
        self.last = Width(self.whole.image.channels)

    def width(self, channels: int, position: str = "") -> Width:
        """That width at the chain's factor."""
        return Width(int(channels * Fraction(str(self.whole.width))), position)

    def add(
        self,
        name: str,
        kind: Callable[..., BlockSpec],
        widths: Mapping[str, Width],
        reads: str = "in_channels",
        **fixed: Any,
    ) -> None:
        """Append a block; the width of the map so far goes into its field `reads`."""
        widths = {reads: self.last, **widths}
        block = PlannedBlock(name, kind, widths, {**fixed, "in_size": self.whole.size})
        self.blocks.append(block)
        self.whole.add(name, block.spec({}))
        self.last = widths.get("out_channels", self.last)


def plan_network(
    network: Pruned, image: Image, stem: Stem, classes: int, factor: float
) -> tuple[PlannedBlock, ...]:
    """The blocks of `network`; `stem` small is 3x3 with stride 1 and no pool.

    Raises:
        UserError: `factor` leaves a layer without channels.
    """
    plan = Plan(Chain(image, factor))
    makers = {
        "mobilenet-v1": _mobilenet_v1,
        "mobilenet-v2": _mobilenet_v2,
        "resnet-50": _resnet_50,
    }
    makers[network](plan, stem == "small")
    plan.add("head", HeadSpec, {}, num_classes=classes)
    for block in plan.blocks:
        for width in block.widths.values():
            if width.base < 1:
                raise UserError(f"width {factor} leaves block '{block.name}' without channels")
    return tuple(plan.blocks)


def _mobilenet_v1(plan: Plan, small: bool) -> None:
    """Every output has a position but the last."""
    stem, stride = {"out_channels": plan.width(MOBILENET_STEM, "stem")}, 1 if small else 2
    plan.add("stem", StemSpec, stem, kernel_size=3, stride=stride, relu=True)
    for number, (channels, stride) in enumerate(MOBILENET_BLOCKS, start=1):
        name = f"block{number}"
        out = plan.width(channels, name if number < len(MOBILENET_BLOCKS) else "")
        plan.add(name, SeparableSpec, {"out_channels": out}, stride=stride)


def _mobilenet_v2(plan: Plan, small: bool) -> None:
    """The outputs of a stage are added up and so have one position; every expansion has its own.

    An expansion is a share of six times the input's whole width (of one time, in the first block).
    """
    stem, stride = {"out_channels": plan.width(V2_STEM, "stem")}, 1 if small else 2
    plan.add("stem", ClippedConvSpec, stem, kernel_size=3, stride=stride)
    number = 0
    for stage, (channels, repeats, stride) in enumerate(V2_STAGES, start=1):
        out = plan.width(channels, f"stage{stage}")
        for is_first in (True, *(False,) * (repeats - 1)):
            number += 1
            mid = Width(plan.last.base * (6 if number > 1 else 1), f"block{number}.mid")
            plan.add(
                f"block{number}",
                InvertedResidualSpec,
                {"out_channels": out, "mid_channels": mid},
                stride=stride if is_first else 1,
                # By the tie: numbers of channels can also be equal by chance.
                shortcut="none" if is_first else "identity",
            )
    last = {"out_channels": plan.width(V2_LAST)}
    plan.add("last_conv", ClippedConvSpec, last, kernel_size=1, stride=1)


def _resnet_50(plan: Plan, small: bool) -> None:
    """The outputs of a stage have one position, the last stage's none; every middle has its own."""
    stem = {"out_channels": plan.width(RESNET_STEM, "stem")}
    kernel, stride = (3, 1) if small else (7, 2)
    plan.add("stem", StemSpec, stem, kernel_size=kernel, stride=stride, relu=True)
    if not small:
        plan.add("pool", PoolSpec, {}, "channels", kernel_size=3, stride=2, padding=1)
    number = 0
    for stage, (channels, repeats, stride) in enumerate(RESNET_STAGES, start=1):
        out = plan.width(channels, f"stage{stage}" if stage < len(RESNET_STAGES) else "")
        for is_first in (True, *(False,) * (repeats - 1)):
            number += 1
            plan.add(
                f"block{number}",
                ResidualBottleneckSpec,
                {"out_channels": out, "mid_channels": Width(out.base // 4, f"block{number}.mid")},
                stride=stride if is_first else 1,
                shortcut="conv" if is_first else "identity",
            )

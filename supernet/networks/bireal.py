"""Bi-Real Net: binary ResNets with a shortcut around every binary convolution.

"Bi-Real Net: Enhancing the Performance of 1-bit CNNs" (Liu et al., ECCV 2018, arXiv 1808.00278);
-50 and -152: "Binarizing Deep Network towards Real-Network Performance" (IJCV 2020, 1811.01335).
Form of the authors' PyTorch repository: no biases, downsampling by average pool, real 1x1, norm.
"""

from __future__ import annotations

from collections.abc import Sequence

from supernet.spec import Activation, BinaryUnitSpec, BottleneckSpec, HeadSpec, NetworkSpec
from supernet.spec.building import Chain, Image, Stem, resnet_stem

# Two convolutions, so two units, a block of ResNet-18 (2, 2, 2, 2) and ResNet-34 (3, 4, 6, 3).
UNITS_18 = (4, 4, 4, 4)
UNITS_34 = (6, 8, 12, 6)
BOTTLENECKS_50 = (3, 4, 6, 3)
BOTTLENECKS_152 = (3, 8, 36, 3)


def basic_stages(chain: Chain, units: Sequence[int], activation: Activation, rsign: bool) -> None:
    """Append four stages of 3x3 binary units with 64, 128, 256 and 512 channels, at width 1."""
    before = chain.scaled(64)
    for stage, count in enumerate(units):
        channels = chain.scaled(64 << stage)
        for number in range(count):
            halves = stage > 0 and number == 0
            unit = BinaryUnitSpec(
                in_channels=before,
                out_channels=channels,
                kernel_size=3,
                stride=2 if halves else 1,
                groups=1,
                in_size=chain.size,
                shortcut="conv" if halves else "identity",
                activation=activation,
                rsign=rsign,
            )
            chain.add(f"stage{stage + 1}_unit{number + 1}", unit)
            before = channels


def _basic(
    units: Sequence[int], name: str, image: Image, classes: int, stem: Stem, width: float
) -> NetworkSpec:
    chain = resnet_stem(image, stem, width)
    basic_stages(chain, units, "none", rsign=False)
    chain.add("head", HeadSpec(chain.scaled(512), classes, chain.size))
    return chain.network(name, classes)


def _bottlenecks(
    blocks: Sequence[int], name: str, image: Image, classes: int, stem: Stem, width: float
) -> NetworkSpec:
    chain = resnet_stem(image, stem, width)
    before = chain.scaled(64)
    for stage, count in enumerate(blocks):
        channels = chain.scaled(256 << stage)
        for number in range(count):
            block = BottleneckSpec(
                in_channels=before,
                out_channels=channels,
                stride=2 if stage > 0 and number == 0 else 1,
                in_size=chain.size,
                first=stage == 0 and number == 0,
                last=stage == len(blocks) - 1 and number == count - 1,
            )
            chain.add(f"stage{stage + 1}_block{number + 1}", block)
            before = channels
    chain.add("head", HeadSpec(before, classes, chain.size))
    return chain.network(name, classes)


def bireal_18(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """16 binary 3x3 convolutions."""
    return _basic(UNITS_18, name, image, classes, stem, width)


def bireal_34(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """32 binary 3x3 convolutions."""
    return _basic(UNITS_34, name, image, classes, stem, width)


def bireal_50(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """16 bottlenecks, as in the authors' folder `BiReal_50`."""
    return _bottlenecks(BOTTLENECKS_50, name, image, classes, stem, width)


def bireal_152(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """50 bottlenecks: Bi-Real-50's block in ResNet-152's stages (no code of it was released)."""
    return _bottlenecks(BOTTLENECKS_152, name, image, classes, stem, width)

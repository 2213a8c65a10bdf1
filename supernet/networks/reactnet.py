"""ReActNet: a binary MobileNet, and binary ResNets, with learned shifts at sign and activation.

"ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions"
(Liu et al., ECCV 2020, arXiv 2003.03488). Form of the authors' repository: both 1x1 convolutions of
a doubling block read one RSign, so that they are one binary convolution to twice the channels.
Released are A and the ResNets; B and C follow the paper's text: real doubling 1x1 convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

from supernet.files import UserError
from supernet.networks.bireal import UNITS_18, UNITS_34, basic_stages
from supernet.spec import BlockSpec, HeadSpec, NetworkSpec, RealDoublingSpec, StemSpec
from supernet.spec.building import (
    MOBILENET_BLOCKS,
    MOBILENET_STEM,
    Chain,
    Image,
    Stem,
    resnet_stem,
)
from supernet.spec.units import unit_pair


def _mobile(
    name: str,
    image: Image,
    classes: int,
    stem: Stem,
    width: float,
    real_groups: int | None = None,
) -> NetworkSpec:
    """Stem, 13 x (3x3, 1x1), head. `real_groups`: those of real doubling 1x1 convolutions."""
    chain = Chain(image, width)
    stride = 1 if stem == "small" else 2
    before = chain.scaled(MOBILENET_STEM)
    chain.add("stem", StemSpec(image.channels, before, 3, stride, image.size))
    for number, (channels, stride) in enumerate(MOBILENET_BLOCKS, start=1):
        after = chain.scaled(channels)
        pointwise: BlockSpec
        spatial, pointwise = unit_pair(
            before, after, chain.size, stride=stride, activation="rprelu", rsign=True
        )
        if after != before and real_groups is not None:
            if before % real_groups:
                raise UserError(
                    f"width {width} makes {before} channels, which {real_groups} groups do not "
                    f"divide; choose a greater width"
                )
            pointwise = RealDoublingSpec(before, real_groups, spatial.out_size, "rprelu")
        chain.add(f"block{number}_spatial", spatial)
        chain.add(f"block{number}_pointwise", pointwise)
        before = after
    chain.add("head", HeadSpec(before, classes, chain.size))
    return chain.network(name, classes)


def reactnet_a(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """All convolutions but the stem binary."""
    return _mobile(name, image, classes, stem, width)


def reactnet_b(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """A with real 1x1 convolutions of 4 groups in the five blocks that double the channels."""
    return _mobile(name, image, classes, stem, width, real_groups=4)


def reactnet_c(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """A with real 1x1 convolutions in the five blocks that double the channels."""
    return _mobile(name, image, classes, stem, width, real_groups=1)


def _resnet(
    units: Sequence[int], name: str, image: Image, classes: int, stem: Stem, width: float
) -> NetworkSpec:
    chain = resnet_stem(image, stem, width)
    basic_stages(chain, units, "rprelu", rsign=True)
    chain.add("head", HeadSpec(chain.scaled(512), classes, chain.size))
    return chain.network(name, classes)


def react_resnet_18(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """Bi-Real-18 with RSign and RPReLU."""
    return _resnet(UNITS_18, name, image, classes, stem, width)


def react_resnet_34(name: str, image: Image, classes: int, stem: Stem, width: float) -> NetworkSpec:
    """Bi-Real-34 with RSign and RPReLU."""
    return _resnet(UNITS_34, name, image, classes, stem, width)

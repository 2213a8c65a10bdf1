"""ReActNet's block (arXiv 2003.03488) as plain data: a kxk unit, then a 1x1 unit."""

from __future__ import annotations

from supernet.layer_spec import Activation
from supernet.unit_spec import BinaryUnitSpec, Shortcut


def unit_pair(
    before: int,
    after: int,
    in_size: int,
    *,
    stride: int,
    kernel_size: int = 3,
    groups: int = 1,
    pointwise_groups: int = 1,
    doubling: Shortcut = "duplicate",
    activation: Activation,
    rsign: bool,
) -> tuple[BinaryUnitSpec, BinaryUnitSpec]:
    """The unit that keeps `before` channels and has the stride, and the one that makes `after`.

    `doubling`: the second one's shortcut where `after` is twice `before`, and, being 'conv', at any
    other number; without weights an odd change is a `cycle`.
    """
    spatial = BinaryUnitSpec(
        in_channels=before,
        out_channels=before,
        kernel_size=kernel_size,
        stride=stride,
        groups=groups,
        in_size=in_size,
        shortcut="pool" if stride == 2 else "identity",
        activation=activation,
        rsign=rsign,
    )
    shortcut: Shortcut = "identity"
    if after != before:
        shortcut = doubling if after == 2 * before or doubling == "conv" else "cycle"
    pointwise = BinaryUnitSpec(
        in_channels=before,
        out_channels=after,
        kernel_size=1,
        stride=1,
        groups=pointwise_groups,
        in_size=spatial.out_size,
        shortcut=shortcut,
        activation=activation,
        rsign=rsign,
    )
    return spatial, pointwise

"""A bottleneck's two streams as operations; `BottleneckSpec` has the formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.lowering.folding import doubles, folded_conv
from deploy.lowering.lowering import Lowering
from deploy.lowering.units import lower_unit, unit_by_torch
from deploy.plan.plan import Operation
from supernet.spec import BottleneckSpec

if TYPE_CHECKING:
    from torch import Tensor


def lower_bottleneck(lowering: Lowering, name: str, spec: BottleneckSpec, module: Any) -> None:
    """Its last operation gives the wide stream; the narrow one is kept in `lowering.narrow`."""
    x, mid = lowering.last, spec.mid_channels
    if spec.first:
        clipped = _leaky_clip(lowering, f"{name}.narrow", x, spec.in_channels)
        conv = Operation(f"{name}.narrow", "conv", clipped, mid)
        lowering.add(conv, *folded_conv(module.narrow.conv, module.narrow.norm))
    else:
        added = lowering.narrow
        if spec.begins_stage:
            conv = Operation(f"{name}.narrow.shortcut", "conv", added, mid)
            added = lowering.add(conv, doubles(module.narrow.shortcut.weight), np.zeros(mid))
        lowering.unit(f"{name}.narrow", module.narrow, x, added)
    lower_unit(lowering, f"{name}.spatial", spec.spatial, module.spatial)
    lowering.narrow = lowering.last
    wide: int | None = x
    if spec.begins_stage:
        # As a unit with this shortcut would, were it to read the wide stream.
        shortcut = replace(
            spec.wide, in_channels=spec.in_channels, stride=spec.stride, shortcut="conv"
        )
        wide = lowering.shortcut(f"{name}.wide", shortcut, module.wide.shortcut, x)
    lowering.unit(f"{name}.wide", module.wide, lowering.narrow, wide)


def _leaky_clip(lowering: Lowering, name: str, source: int, channels: int) -> int:
    """The value of leaky_clip(x) = f(f(x)), f an RPReLU of -x whose bend is at (-1, -1).

    f(x) = -x where -x > -1, else 0.1 (1 - x) - 1: minus x, bent where x > 1. The second f turns it
    around again and bends what was below -1. So both are a 1x1 convolution of each channel by
    itself with weight -1, in IEEE arithmetic exact, and an activation; from
    -x + 1 - 1 comes a rounding error of 1.2e-7 at most.
    """
    from supernet.layers.binary_input import OUTER_SLOPE

    ones = np.ones(channels)
    for layer in ("clip_above", "clip_below"):
        bend = Operation(
            f"{name}.{layer}", "conv", source, channels, groups=channels, activation="rprelu"
        )
        weight = -ones[:, None, None, None]
        source = lowering.add(bend, weight, 0 * ones, -ones, OUTER_SLOPE * ones, -ones)
    return source


def bottleneck_by_torch(
    module: Any, spec: BottleneckSpec, layer: str, x: Tensor, added: Tensor | None
) -> Tensor:
    """Of one of its three units."""
    part, _, layer = layer.partition(".")
    unit = module.get_submodule(part)
    if spec.first and part == "narrow":
        return _real_narrow_by_torch(unit, layer, x)
    return unit_by_torch(unit, getattr(spec, part), layer, x, added)


def _real_narrow_by_torch(unit: Any, layer: str, x: Tensor) -> Tensor:
    """leaky_clip bends what is above 1 first, and gives its negative."""
    import torch

    from supernet.layers.binary_input import OUTER_SLOPE

    match layer:
        case "clip_above":
            return -torch.lerp(x.clamp(max=1), x, OUTER_SLOPE)
        case "clip_below":
            return torch.lerp((-x).clamp(min=-1), -x, OUTER_SLOPE)
    return unit.norm(unit.conv(x))

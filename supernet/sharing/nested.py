"""A block of a supernet whose choices differ in their groups alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from torch import nn

from supernet.binarization import Binarization
from supernet.blocks.binary_unit import (
    BinaryUnit,
    build_activation,
    build_conv,
    build_shortcut,
    build_sign,
)
from supernet.blocks.block import Compute
from supernet.layers.binary_conv import LatentConv2d, Precision
from supernet.layers.nested_conv import NestedBinaryConv2d, NestedPath
from supernet.sharing.choices import Choices
from supernet.sharing.ways import Sharing
from supernet.spec import BinaryUnitSpec, BlockSpec


class BinaryUnitChoices(Choices):
    """The units that one block of a supernet can be: they differ in their groups alone.

    Every choice has its own BatchNorm. Sharing: 'independent' gives every choice its own
    convolution, 'nested' one weight for all (`NestedBinaryConv2d`). Shortcut, activation and RSign
    are common to all choices.
    """

    def __init__(self, candidates: tuple[BinaryUnitSpec, ...], sharing: Sharing) -> None:
        super().__init__()
        first = candidates[0]
        if any(replace(spec, groups=first.groups) != first for spec in candidates):
            raise ValueError("the candidates of a binary unit may differ in their groups alone")
        self.shortcut, self.activation = build_shortcut(first), build_activation(first)
        self.sign = build_sign(first)
        self.norms = nn.ModuleDict(
            {f"g{spec.groups}": nn.BatchNorm2d(spec.out_channels) for spec in candidates}
        )
        if sharing == "nested":
            self.nested = NestedBinaryConv2d(
                first.in_channels,
                first.out_channels,
                first.kernel_size,
                stride=first.stride,
                padding=first.kernel_size // 2,
                groups=tuple(spec.groups for spec in candidates),
            )
        else:
            self.convs = nn.ModuleDict({f"g{spec.groups}": build_conv(spec) for spec in candidates})
        # A plain dict: these views share the modules registered above and must not be registered.
        self._units = {spec.groups: self._unit(spec.groups) for spec in candidates}

    def _unit(self, groups: int) -> BinaryUnit:
        key = f"g{groups}"
        conv = (
            NestedPath(self.nested, groups)
            if hasattr(self, "nested")
            else cast(LatentConv2d, self.convs[key])
        )
        return BinaryUnit(conv, self.norms[key], self.shortcut, self.activation, self.sign)

    def set_binarization(self, binarization: Binarization) -> None:
        """Of every choice, as each of the settings."""
        for unit in self._units.values():
            unit.set_binarization(binarization)

    def set_precision(self, precision: Precision) -> None:
        for unit in self._units.values():
            unit.set_precision(precision)

    def compile_parts(self, compiled: Callable[[Compute], Compute]) -> None:
        for unit in self._units.values():
            unit.compile_parts(compiled)

    def path(self, spec: BlockSpec, binarization: Binarization) -> BinaryUnit:
        """The unit of `spec`, made of this block's own modules."""
        return self._units[cast(BinaryUnitSpec, spec).groups]

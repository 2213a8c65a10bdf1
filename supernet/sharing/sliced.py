"""One block of a supernet whose alternatives are cut from the tensors of the largest of them.

Channels as in Single Path One-Shot (arXiv 1904.00420): one maximal weight, of which a path uses
the leading ones. Every setting of groups and bits has its own BatchNorms.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from supernet.binarization import Binarization
from supernet.blocks.building import build_block, set_binarization, set_precision
from supernet.layers.binary_conv import Precision
from supernet.sharing.choices import Choices
from supernet.sharing.shared_path import Region, SharedPath, Source
from supernet.sharing.slices import cut, is_depthwise, joined
from supernet.spec import BlockSpec
from supernet.spec.layers import ClipSpec, ConvSpec, LayerSpec, NormSpec

MAX_CACHED_BLOCKS = 256

OF_A_SETTING = (NormSpec, ClipSpec)
"""Layers that every setting of groups and bits has for itself."""

COMMON = tuple(kind for kind in get_args(LayerSpec) if kind not in OF_A_SETTING)


@dataclass(frozen=True)
class Cut:
    """The part that `small` uses of an attribute of `module`, a layer as `large` says."""

    module: nn.Module
    attribute: str
    small: LayerSpec
    large: LayerSpec

    def tensor(self) -> Tensor:
        whole = getattr(self.module, self.attribute)
        if whole is None:  # a BatchNorm without factor and shift computes what 1 and 0 make of it
            assert isinstance(self.module, _BatchNorm) and isinstance(self.small, NormSpec)
            mean = self.module.running_mean
            assert mean is not None
            return mean.new_full((self.small.channels,), float(self.attribute == "weight"))
        return joined(cut(whole, self.small, self.large))

    def regions(self) -> Iterator[Region]:
        whole = getattr(self.module, self.attribute)
        if isinstance(whole, nn.Parameter):
            yield Region(whole, partial(cut, small=self.small, large=self.large))

    def put(self, tensor: Tensor) -> bool:
        whole = getattr(self.module, self.attribute)
        if whole is None:
            return False
        view = cut(whole, self.small, self.large)
        view.copy_(tensor.reshape(view.shape))  # undoes `joined`
        return True


class SlicedBlock(Choices):
    """The tensors of `candidates[0]`, the largest, which hold those of all others.

    `candidates` shows every setting of groups and bits; blocks of other widths and kernels need
    not be among them. `shared` has the layers that all settings have in common, `settings` the
    others; where there is one setting alone, `shared` has all.
    """

    def __init__(self, candidates: tuple[BlockSpec, ...]) -> None:
        super().__init__()
        self.largest = candidates[0]
        shown: dict[str, BlockSpec] = {}
        for spec in candidates:
            shown.setdefault(self._key(spec), spec)
        self.shared = build_block(self.largest)
        self.settings = nn.ModuleDict()
        self._shown = shown
        if len(shown) > 1:
            self.settings.update({key: build_block(spec) for key, spec in shown.items()})
            without(self.shared, self.largest, OF_A_SETTING)
            for key, spec in shown.items():
                without(self.settings[key], spec, COMMON)
        # Not registered: these have no tensors of their own.
        self._paths: OrderedDict[tuple[BlockSpec, Binarization], SharedPath] = OrderedDict()
        self._precision: Precision = "fp32"

    def set_precision(self, precision: Precision) -> None:
        """Choose where the operands are bf16, for every path."""
        self._precision = precision
        for path in self._paths.values():
            set_precision(path.inner, precision)

    def path(self, spec: BlockSpec, binarization: Binarization) -> SharedPath:
        """The block of `spec`, made of this one's tensors, its convolutions by `binarization`.

        Raises:
            ValueError: it cannot be cut from the largest.
        """
        known = self._paths.get((spec, binarization))
        if known is None:
            with torch.device("meta"):
                inner = build_block(spec)
            set_binarization(inner, binarization)
            set_precision(inner, self._precision)
            known = SharedPath(inner.train(self.training), self, self._sources(inner, spec))
            self._paths[spec, binarization] = known
            if len(self._paths) > MAX_CACHED_BLOCKS:
                self._paths.popitem(last=False)
        return known

    def _sources(self, inner: nn.Module, spec: BlockSpec) -> dict[str, Source]:
        """Where each tensor of the state dict of `inner` comes from."""
        layers = {layer.name: layer for layer in spec.layers()}
        sources: dict[str, Source] = {}
        for name in inner.state_dict():
            layer, attribute = name.rpartition(".")[::2]
            if layer not in layers:
                raise ValueError(f"its tensor '{name}' belongs to none of its layers")
            sources[name] = self._source(spec, layers[layer], attribute)
        return sources

    def _source(self, spec: BlockSpec, small: LayerSpec, attribute: str) -> Source:
        module, holder = self.shared, self.largest
        if self.settings and isinstance(small, OF_A_SETTING):
            key = self._key(spec)
            if key not in self._shown:
                raise ValueError(f"its groups and bits, {key}, are none that a single choice gives")
            module, holder = self.settings[key], self._shown[key]
        large = next((layer for layer in holder.layers() if layer.name == small.name), None)
        if large is None:
            raise ValueError(f"the largest network has no layer '{small.name}' there")
        source = Cut(module.get_submodule(small.name), attribute, small, large)
        source.tensor()  # refuses what does not fit
        return source

    def _key(self, spec: BlockSpec) -> str:
        """Groups and bits of the convolutions, those aside that have one filter a channel."""
        depthwise = {layer.name for layer in self.largest.layers() if _is_depthwise(layer)}
        settings = {
            f"g{layer.groups}w{layer.weight_bits}a{layer.activation_bits}": None
            for layer in spec.layers()
            if isinstance(layer, ConvSpec) and layer.name not in depthwise
        }
        return "-".join(settings) or "all"


def _is_depthwise(layer: LayerSpec) -> bool:
    return isinstance(layer, ConvSpec) and is_depthwise(layer)


def without(module: nn.Module, spec: BlockSpec, kinds: tuple[type, ...]) -> None:
    """Take the layers of these kinds from the `module` of `spec`."""
    for layer in spec.layers():
        if isinstance(layer, kinds):
            parent, _, name = layer.name.rpartition(".")
            setattr(module.get_submodule(parent), name, nn.Identity())

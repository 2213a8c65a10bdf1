"""One block of a supernet whose convolutions' weights are made by a network: PruningNet.

"MetaPruning: Meta Learning for Automatic Neural Network Channel Pruning" (Liu et al., ICCV 2019,
arXiv 1903.10258). Differs from the authors' code: a generator reads the shares of channels that
vary in its block, in the order mid, in, out; those that never vary are left out, and one of a
layer's own is its true share, not the scale before rounding. A BatchNorm belongs to a number of
channels, there to a scale: scales that round to one number share it here, and MobileNetV2's last
convolution, whose own number never varies, has one, there one for each width of its input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.sharing.shared_path import Region, Source
from supernet.sharing.sliced import Cut, SlicedBlock, without
from supernet.sharing.slices import cut, is_depthwise
from supernet.spec import BlockSpec, InvertedResidualSpec
from supernet.spec.layers import ConvSpec, LayerSpec, NormSpec

ENCODED = ("mid_channels", "in_channels", "out_channels")


class Generator(nn.Module):
    """The weight of one convolution from the shares of channels around it.

    Forward:   W = crop(A) relu(B e + c) + crop(a), where e (n) are the shares, each at most 1;
               A (O, I/g, K, K, 1, h), a (O, I/g, K, K), and crop takes what the narrower one has.
    Backward:  by autograd; what the crop leaves out has no gradient.
    Only what is used is computed, where the authors compute all and crop the result.
    """

    def __init__(self, num_inputs: int, hidden: int, conv: ConvSpec) -> None:
        super().__init__()
        self.conv = conv
        self.encode = nn.Linear(num_inputs, hidden)
        inputs = conv.in_channels // conv.groups
        shape = (conv.out_channels, inputs, conv.kernel_size, conv.kernel_size)
        # The initial values of torch's linear layer of `hidden` inputs, which the authors use.
        bound = 1 / math.sqrt(hidden)
        # Six dimensions: torch takes five for a volume, which channels_last does not suit.
        self.weight = nn.Parameter(torch.empty(*shape, 1, hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

    def forward(self, shares: Tensor, small: ConvSpec) -> Tensor:
        """The weight of `small`, (Cout, Cin/groups, k, k)."""
        hidden = F.relu(self.encode(shares))
        factors, bias = cut(self.weight, small, self.conv), cut(self.bias, small, self.conv)
        # As a matrix: for more dimensions torch computes with and without gradient differently.
        return (factors.flatten(0, -2) @ hidden).view(bias.shape) + bias


@dataclass(frozen=True)
class Generated:
    """A convolution's weight as its generator makes it."""

    generator: Generator
    shares: tuple[float, ...]
    small: ConvSpec

    def tensor(self) -> Tensor:
        return self.generator(self.generator.bias.new_tensor(self.shares), self.small)

    def regions(self) -> Iterator[Region]:
        view = partial(cut, small=self.small, large=self.generator.conv)
        yield Region(self.generator.weight, view)
        yield Region(self.generator.bias, view)
        for parameter in self.generator.encode.parameters():
            yield Region(parameter, lambda whole: whole)

    def put(self, tensor: Tensor) -> bool:
        raise ValueError(f"the weight of '{self.small.name}' is generated: it cannot be put there")


class GeneratedBlock(SlicedBlock):
    """Generators for the convolutions, a BatchNorm for each number of channels.

    `candidates` shows every number of channels of every layer. What is neither is cut from the
    largest, `candidates[0]`.
    """

    def __init__(self, candidates: tuple[BlockSpec, ...]) -> None:
        super().__init__(candidates)
        if self.settings:
            raise ValueError("its groups or bits vary; generated weights are for channels alone")
        self._varying = [
            field
            for field in ENCODED
            if len({getattr(spec, field, None) for spec in candidates}) > 1
        ]
        self.generators, self.norms = nn.ModuleDict(), nn.ModuleDict()
        if not self._varying:
            return
        hidden = 64 if isinstance(self.largest, InvertedResidualSpec) else 32
        for layer in self.largest.layers():
            if isinstance(layer, ConvSpec):
                if layer.groups > 1 and not is_depthwise(layer):
                    raise ValueError(f"'{layer.name}' has groups; generated weights have none")
                generator = Generator(len(self._varying), hidden, layer)
                self.generators[_key(layer)] = generator
            elif isinstance(layer, NormSpec):
                kind = type(self.shared.get_submodule(layer.name))
                self.norms[_key(layer)] = nn.ModuleDict(
                    {str(channels): kind(channels) for channels in _channels(candidates, layer)}
                )
        without(self.shared, self.largest, (ConvSpec, NormSpec))

    def _source(self, spec: BlockSpec, small: LayerSpec, attribute: str) -> Source:
        if _key(small) in self.generators and isinstance(small, ConvSpec):
            generator = self.generators[_key(small)]
            assert isinstance(generator, Generator)
            # A shortcut's convolution is as wide as the block, whatever is in its middle.
            source: Source = Generated(generator, self._shares(spec), small)
            source.tensor()  # refuses what does not fit
            return source
        if _key(small) in self.norms and isinstance(small, NormSpec):
            norms = self.norms[_key(small)]
            assert isinstance(norms, nn.ModuleDict)
            if str(small.channels) not in norms:
                raise ValueError(
                    f"'{small.name}' has {small.channels} channels by no single choice"
                )
            return Cut(norms[str(small.channels)], attribute, small, small)
        return super()._source(spec, small, attribute)

    def _shares(self, spec: BlockSpec) -> tuple[float, ...]:
        """The encoding: each varying number of channels over its largest."""
        return tuple(getattr(spec, f) / getattr(self.largest, f) for f in self._varying)


def _channels(candidates: tuple[BlockSpec, ...], norm: NormSpec) -> list[int]:
    """The numbers of channels that a norm has in any of `candidates`."""
    found = {
        layer.channels
        for spec in candidates
        for layer in spec.layers()
        if isinstance(layer, NormSpec) and layer.name == norm.name
    }
    return sorted(found)


def _key(layer: LayerSpec) -> str:
    """A layer's name as a module may be called."""
    return layer.name.replace(".", "_")

"""The stand-alone torch module of a NetworkSpec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

import torch
from torch import Tensor, nn

from supernet.blocks.block import BinaryBlock, Block, Compute
from supernet.blocks.building import build_block
from supernet.sharing.shared_path import SharedPath
from supernet.spec import NetworkSpec


class Network(nn.Module):
    """A chain of blocks from images (N, C, H, W) to logits (N, classes)."""

    def __init__(self, spec: NetworkSpec, blocks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.spec = spec
        for name in spec.block_names:
            self.add_module(name, blocks[name])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.children():
            x = block(x)
        return x

    def tensors(self) -> dict[str, Tensor]:
        """The state dict of the stand-alone network, also where weights live in a supernet."""
        state = self.state_dict()
        for name, block in self.named_children():
            if isinstance(block, Block):
                state |= {f"{name}.{own}": tensor for own, tensor in block.tensors().items()}
        for name, norm in self.named_modules():
            # One without factor and shift (in a supernet) computes what 1 and 0 make of it.
            if isinstance(norm, nn.modules.batchnorm._BatchNorm) and not norm.affine:
                assert norm.running_mean is not None
                state[f"{name}.weight"] = torch.ones_like(norm.running_mean)
                state[f"{name}.bias"] = torch.zeros_like(norm.running_mean)
        return state

    @torch.no_grad()
    def put(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Copy a stand-alone network's tensors to where this one's live, as `tensors` reads them.

        Returns the names that have no place here: factor and shift of BatchNorms without any.
        """
        own, without_place = self.state_dict(), []
        for name, tensor in tensors.items():
            block, _, within = name.partition(".")
            module = self.get_submodule(block)
            if name in own:
                own[name].copy_(tensor)
            elif not (isinstance(module, Block) and module.put(within, tensor)):
                without_place.append(name)
        return without_place


def build(spec: NetworkSpec) -> Network:
    """The stand-alone network of `spec`, with fresh weights.

    Its parameter names are `block.layer.parameter`, with the names of `spec.layers()`.
    """
    named = zip(spec.block_names, spec.blocks, strict=True)
    return Network(spec, {name: build_block(block) for name, block in named})


def build_from(spec: NetworkSpec, tensors: Mapping[str, Tensor]) -> Network:
    """The stand-alone network of `spec` holding `tensors` themselves, not copies.

    Draws no random number. Raises RuntimeError unless names and shapes agree.
    """
    with torch.device("meta"):
        network = build(spec)
    network.load_state_dict(dict(tensors), assign=True)
    return network


def stand_alone_copy(network: Network) -> Network:
    """A network with copies of the weights and statistics of `network`, and with its settings."""
    copy = build_from(
        network.spec, {name: tensor.clone() for name, tensor in network.tensors().items()}
    )
    for own, original in zip(_blocks(copy), _blocks(network), strict=True):
        own.take_settings(original)
    return copy.train(network.training)


def binary_parts(network: nn.Module) -> Iterator[tuple[str, BinaryBlock]]:
    """What holds one binary convolution and the norm after it, in order, with its name."""
    for name, module in _modules(network):
        if isinstance(module, BinaryBlock):
            yield name, module


def _blocks(network: nn.Module) -> Iterator[Block]:
    return (part for _, part in _modules(network) if isinstance(part, Block))


def _modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """As `named_modules`, with what computes in place of a path's block that shares its tensors."""
    for name, module in network.named_modules():
        if isinstance(module, SharedPath):
            for inner_name, inner in module.inner.named_modules():
                yield f"{name}.{inner_name}".rstrip("."), inner
        else:
            yield name, module


def compile_units(network: nn.Module) -> None:
    """Compile binary units and stems below `network`: one graph for each distinct shape and choice.

    Pools stay eager: compiled, the gradient of a max pool took three times as long.
    """
    # One code object serves every shape, so the limits meant for accidental recompilation are
    # far too low: 9 shapes x 6 choices x (train, eval) = 108 graphs in the default space.
    torch._dynamo.config.recompile_limit = 1024
    torch._dynamo.config.accumulated_recompile_limit = 4096

    @cache
    def compiled(function: Compute) -> Compute:
        return torch.compile(function, dynamic=False)

    for part in network.modules():
        if isinstance(part, Block):
            part.compile_parts(compiled)

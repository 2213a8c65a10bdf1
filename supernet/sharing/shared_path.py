"""A block of one path: a module without tensors of its own that computes with shared ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from supernet.blocks.block import Block

View = Callable[[Tensor], Tensor]
"""A part of any tensor of one shape."""


class Region(NamedTuple):
    """A part of a shared parameter."""

    parameter: nn.Parameter
    view: View


class Source(Protocol):
    """Where one tensor of a path's block comes from."""

    def tensor(self) -> Tensor:
        """Its values, with their gradient function."""

    def regions(self) -> Iterable[Region]:
        """The parts of shared parameters that it is made of."""

    def put(self, tensor: Tensor) -> bool:
        """Copy `tensor` to where its values lie; whether there is such a place."""


class SharedPath(Block):
    """`module` computed with tensors of `sources`, by name, which are read at every pass.

    `owner` holds what is shared, and is what is put into training mode.
    """

    def __init__(self, module: nn.Module, owner: nn.Module, sources: Mapping[str, Source]) -> None:
        super().__init__()
        # In tuples: neither is a part of this module, which has no tensors.
        self._inner, self._owner, self._sources = (module,), (owner,), dict(sources)

    @property
    def inner(self) -> nn.Module:
        """The module that computes; its own tensors are on the meta device."""
        return self._inner[0]

    def forward(self, x: Tensor) -> Tensor:
        self._follow()
        return functional_call(self.inner, self._read(), (x,))

    def tensors(self) -> dict[str, Tensor]:
        """The state dict of the stand-alone block, made of the shared tensors."""
        with torch.no_grad():
            return self._read()

    @torch.no_grad()
    def put(self, name: str, tensor: Tensor) -> bool:
        """Copy one tensor of the stand-alone block into the shared ones; whether it has a place."""
        return self._sources[name].put(tensor)

    def regions(self) -> Iterator[Region]:
        """The parts of shared parameters that this path trains."""
        for source in self._sources.values():
            yield from source.regions()

    def _read(self) -> dict[str, Tensor]:
        return {name: source.tensor() for name, source in self._sources.items()}

    def train(self, mode: bool = True) -> SharedPath:
        """As with any shared module, the mode is that of all paths."""
        self._owner[0].train(mode)
        return super().train(mode)

    def _follow(self) -> None:
        """Take up what was done to the owner: its mode, and the settings of its BatchNorms."""
        owner = self._owner[0]
        if self.inner.training != owner.training:
            self.inner.train(owner.training)
        shared = next((m for m in owner.modules() if isinstance(m, _BatchNorm)), None)
        for norm in self.inner.modules():
            if shared is not None and isinstance(norm, _BatchNorm):
                norm.momentum = shared.momentum
                if type(norm) is not type(shared):  # statistics over all processes
                    norm.__class__ = type(shared)
                    norm.process_group = getattr(shared, "process_group", None)  # type: ignore[assignment]


def partial_regions(paths: Iterable[nn.Module]) -> dict[nn.Parameter, list[View]]:
    """The shared parameters of which `paths` together use a part, each with the parts.

    A parameter that some path uses as a whole is not among them.
    """
    found: dict[nn.Parameter, list[View]] = {}
    whole: set[nn.Parameter] = set()
    for path in paths:
        for part in path.modules():
            for parameter, view in part.regions() if isinstance(part, SharedPath) else ():
                if view(parameter.detach()).numel() == parameter.numel():
                    whole.add(parameter)
                else:
                    found.setdefault(parameter, []).append(view)
    return {parameter: views for parameter, views in found.items() if parameter not in whole}

"""Binary convolutions of several group numbers that share one weight."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from supernet.layers.binary_conv import ConvOptions, LatentConv2d, initialise_latent
from supernet.layers.layer import Layer


class NestedBinaryConv2d(Layer):
    """One weight for several group numbers: block diagonals that lie inside one another.

    The weight between an output and an input channel means the same pair for every group number.
    It is stored in rings: `ring0` the blocks of the largest group number, each further ring what
    the next smaller group number adds around them, so that weights a path does not use have no
    gradient at all. Group numbers must divide one another in order.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        padding: int,
        groups: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.levels = tuple(sorted(groups, reverse=True))
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            if finer % coarser:
                raise ValueError(f"nested sharing: {coarser} groups do not divide {finer} groups")
        self.stride, self.padding, self.kernel_size = stride, padding, kernel_size
        self.in_channels, self.out_channels = in_channels, out_channels
        finest = self.levels[0]
        shape = (out_channels // finest, in_channels // finest, kernel_size, kernel_size)
        # Four dimensions each, (blocks x out, in, k, k), so that channels_last applies to them.
        self.rings = nn.ParameterList([nn.Parameter(torch.empty(finest * shape[0], *shape[1:]))])
        for finer, coarser in zip(self.levels, self.levels[1:], strict=False):
            ratio = finer // coarser
            # ratio x ratio sub-blocks a block; the ratio on the diagonal are the finer level's.
            rows = coarser * ratio * (ratio - 1) * (out_channels // finer)
            columns = in_channels // finer
            self.rings.append(nn.Parameter(torch.empty(rows, columns, kernel_size, kernel_size)))
        for ring in self.rings:
            initialise_latent(ring)

    def latent_weights(self) -> Iterator[tuple[nn.Parameter, int]]:
        """The rings. A ring has the fan in of the convolution that uses it with the most groups.

        Cin/groups * k * k: the ring holds a part of that convolution's filters, and every finer
        convolution leaves it out.
        """
        for ring, groups in zip(self.rings, self.levels, strict=True):
            yield ring, self.in_channels // groups * self.kernel_size**2

    def weight(self, groups: int) -> Tensor:
        """The latent weight of `groups` groups, (Cout, Cin/groups, k, k)."""
        return self._assemble(list(self.rings), groups)

    @torch.no_grad()
    def put(self, groups: int, weight: Tensor) -> None:
        """Copy a weight of `groups` groups into the rings that it is made of."""
        sizes = [ring.numel() for ring in self.rings]
        stored = torch.cat([ring.flatten() for ring in self.rings])
        # The same assembly of the numbers of all stored weights says where each one lies.
        numbers = torch.arange(len(stored), device=stored.device).split(sizes)
        numbered = [n.view_as(ring) for n, ring in zip(numbers, self.rings, strict=True)]
        stored[self._assemble(numbered, groups).flatten()] = weight.flatten().to(stored.device)
        for ring, values in zip(self.rings, stored.split(sizes), strict=True):
            ring.copy_(values.view_as(ring))

    def _assemble(self, rings: Sequence[Tensor], groups: int) -> Tensor:
        blocks = rings[0].unflatten(0, (self.levels[0], -1))  # (groups, out, in, k, k)
        for finer, coarser, ring in zip(self.levels, self.levels[1:], rings[1:], strict=False):
            if finer == groups:
                break
            ratio = finer // coarser
            diagonal = blocks.unflatten(0, (coarser, ratio))
            around = ring.unflatten(0, (coarser, ratio, ratio - 1, -1))
            rows = [
                torch.cat([around[:, i, :i], diagonal[:, i : i + 1], around[:, i, i:]], dim=1)
                for i in range(ratio)
            ]
            # (coarser, row, column, out, in, k, k) -> (coarser, row x out, column x in, k, k)
            blocks = torch.stack(rows, 1).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return blocks.flatten(0, 1)


class NestedPath(LatentConv2d):
    """One group number of a `NestedBinaryConv2d`, used like a `BinaryConv2d`."""

    def __init__(self, nested: NestedBinaryConv2d, groups: int) -> None:
        super().__init__(ConvOptions(), nested.stride, nested.padding, groups)
        self._nested = (nested,)  # in a tuple: the weights are registered where they are shared
        self.num_products = nested.in_channels // groups * nested.kernel_size**2

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The latent weight of this group number, (Cout, Cin/groups, k, k)."""
        return self._nested[0].weight(self.groups)

    def put(self, weight: Tensor) -> bool:
        """Copy a latent weight of this group number into the rings."""
        self._nested[0].put(self.groups, weight)
        return True

    def forward(self, signs: Tensor, latent: Tensor | None = None) -> Tensor:
        """Convolve with `latent`, which a caller may have read before."""
        return self._convolve(signs, self.latent() if latent is None else latent)

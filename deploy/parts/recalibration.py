"""BatchNorm statistics of a binary network, from the integer counts of the 1-bit kernels.

What `training.scoring.calibration.calibrate_batch_norm` computes in floats; stems and shortcuts,
which are real, run in torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deploy.kernels.bits import weights_to_bytes
from deploy.kernels.moments import moments
from deploy.kernels.packed_conv import BinaryConv
from deploy.kernels.shapes import ConvShape, Epilogue, Floats, PadValue, SignMap, aligned_empty
from deploy.kernels.signs import binarize
from deploy.lowering.folding import Doubles, activation_of, demand_binary, demand_plus_one, doubles
from supernet.files import UserError
from supernet.finite import demand_finite_statistics
from supernet.spec import BinaryUnitSpec, BlockSpec, HeadSpec, NetworkSpec, StemSpec

if TYPE_CHECKING:
    from torch import Tensor

    from supernet.network import Network

MAX_KEPT_CONVS = 1024
"""Far more than the choices of a supernet whose blocks differ in their groups: 13 x 7."""


def check_recalibrates(spec: NetworkSpec) -> None:
    """Demand blocks whose statistics can be computed here: stem, binary units, head.

    Raises:
        UserError: names the first that cannot.
    """
    for name, block in zip(spec.block_names, spec.blocks, strict=True):
        if not isinstance(block, (StemSpec, BinaryUnitSpec, HeadSpec)):
            raise UserError(
                f"block '{name}' ({type(block).__name__}): its BatchNorm statistics cannot be "
                f"computed on the 1-bit kernels, only those of stems and binary units"
            )


class KeptConvs:
    """Makes convolutions as `BinaryConv.from_packed`; those of equal weights are laid out once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, ConvShape, PadValue], BinaryConv] = OrderedDict()

    def __call__(
        self, weights: NDArray[np.uint8], shape: ConvShape, pad_value: PadValue
    ) -> BinaryConv:
        key = weights.tobytes(), shape, pad_value
        if key not in self._kept:
            self._kept[key] = BinaryConv.from_packed(weights.copy(), shape, pad_value)
            if len(self._kept) > MAX_KEPT_CONVS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


@dataclass
class Statistics:
    """Sums over batches of a BatchNorm's batch means and unbiased variances."""

    mean: Doubles
    variance: Doubles
    num_batches: int = 0


class Recalibration:
    """Recomputes the running statistics of networks, one after the other; keeps memory and convs.

    Every batch goes through the network normalised by its own statistics, as in training; the
    running ones become the means over the batches, of the unbiased variances.
    """

    def __init__(self, make_conv: KeptConvs) -> None:
        self._make_conv = make_conv
        self._memory: dict[tuple[tuple[int, ...], int], Any] = {}

    def __call__(self, network: Network, batches: Iterable[Tensor]) -> None:
        """Set the running statistics of every BatchNorm of `network`.

        Args:
            network: made of stems, binary units and a head; on the CPU.
            batches: normalised images (N, C, S, S), two values a channel and batch at least.

        Raises:
            UserError: a block of another kind, or one that is not binary; statistics that are not
                finite (`NotFiniteError`).
        """
        for _ in self.outputs(network, batches):
            pass

    def outputs(self, network: Network, batches: Iterable[Tensor | Floats]) -> Iterator[Floats]:
        """As a call, giving each batch's map (N, H, W, C) after the last block.

        The statistics are set after the last batch. `network` may be a part of one, without the
        stem; then `batches` are maps that this gave for the part before. A map has memory of its
        own, except before a head, which is left out: there the next batch overwrites it.

        Raises:
            UserError: as a call.
        """
        import torch

        check_recalibrates(network.spec)
        blocks = [
            (name, spec, network.get_submodule(name))
            for name, spec in zip(network.spec.block_names, network.spec.blocks, strict=True)
        ]
        found: dict[Any, Statistics] = {}
        units = {
            name: _Unit(name, spec, module, self._make_conv)
            for name, spec, module in blocks
            if isinstance(spec, BinaryUnitSpec)
        }
        for batch in batches:
            with torch.no_grad():  # not over a yield: it would be the caller's too
                x = self._run(batch, blocks, units, found)
            yield x
        with torch.no_grad():
            for norm, statistics in found.items():
                count = statistics.num_batches
                norm.running_mean.copy_(torch.from_numpy(statistics.mean / count))
                norm.running_var.copy_(torch.from_numpy(statistics.variance / count))
                norm.num_batches_tracked.fill_(count)
        demand_finite_statistics(network, "BatchNorm calibration")

    def _run(
        self,
        batch: Any,
        blocks: list[tuple[str, BlockSpec, Any]],
        units: dict[str, _Unit],
        found: dict[Any, Statistics],
    ) -> Floats:
        x: Any = batch
        for number, (name, spec, module) in enumerate(blocks, start=1):
            if isinstance(spec, StemSpec):
                x = _real(module.conv(x), module.norm, found)
                if spec.relu:
                    np.maximum(x, 0, out=x)
            elif name in units:
                x = self._unit(units[name], x, found, number % 2 if number < len(blocks) else None)
        output: Floats = x
        return output

    def _unit(
        self, unit: _Unit, x: Floats, found: dict[Any, Statistics], parity: int | None
    ) -> Floats:
        conv = unit.conv_for(x)
        size = (len(x), conv.shape.out_height, conv.shape.out_width, conv.shape.out_channels)
        out: Floats = self._buffer(size, parity)
        signs = binarize(x, unit.thresholds, conv.shape.padding, self._memory_for(x, conv))
        ones = np.ones(conv.shape.out_channels, np.float32)
        conv(signs, Epilogue(ones, np.zeros_like(ones)), out)
        factor, bias = _normalisation(unit.module.norm, out, found, unit.scale)
        epilogue = Epilogue(
            factor.astype(np.float32),
            bias.astype(np.float32),
            unit.shortcut(x, found),
            unit.slope,
            unit.rprelu,
        )
        conv(signs, epilogue, out)
        return out

    def _buffer(self, size: tuple[int, ...], parity: int | None) -> Floats:
        """Of a layer's output; its input is in one of the other parity. None: used for it alone."""
        if parity is None:
            return aligned_empty(size, np.float32)
        key = size, parity
        if key not in self._memory:
            self._memory[key] = aligned_empty(size, np.float32)
        memory: Floats = self._memory[key]
        return memory

    def _memory_for(self, x: Floats, conv: BinaryConv) -> SignMap:
        key = x.shape, -1 - conv.shape.padding
        if key not in self._memory:
            self._memory[key] = SignMap.empty(x.shape, conv.shape.padding)
        signs: SignMap = self._memory[key]
        return signs


class _Unit:
    """What is taken of a binary unit once for all batches."""

    def __init__(self, name: str, spec: BinaryUnitSpec, module: Any, make_conv: KeptConvs) -> None:
        demand_binary(name, module)
        demand_plus_one(name, module.conv.zero)
        if module.sign is not None:
            demand_plus_one(name, module.sign.zero)
        self.spec, self.module, self._make_conv = spec, module, make_conv
        latent = module.conv.latent().detach()
        self._weights = weights_to_bytes(~(latent >= 0).numpy())
        self.scale = np.ones(spec.out_channels)
        if module.conv.scaled:
            from supernet.layers.binary_conv import weight_scale

            self.scale = doubles(weight_scale(latent)).ravel()
        self.thresholds: Floats | None = None
        if module.sign is not None:
            self.thresholds = -module.sign.beta.detach().numpy()
        kind, parameters = activation_of(name, module.activation)
        narrow = [values.astype(np.float32) for values in parameters]
        self.slope = narrow[0] if kind == "prelu" else None
        self.rprelu = (narrow[0], narrow[1], narrow[2]) if kind == "rprelu" else None

    def conv_for(self, x: Floats) -> BinaryConv:
        """The convolution of maps as large as `x`."""
        spec, (_, height, width, channels) = self.spec, x.shape
        shape = ConvShape(
            height,
            width,
            channels,
            spec.out_channels,
            spec.kernel_size,
            spec.stride,
            self.module.conv.padding,
            spec.groups,
        )
        pad_value: PadValue = self.module.conv.pad_value if shape.padding else 0
        return self._make_conv(self._weights, shape, pad_value)

    def shortcut(self, x: Floats, found: dict[Any, Statistics]) -> Floats | None:
        """What is added; channels are taken in a circle where they are fewer or more."""
        if self.spec.shortcut == "none":
            return None
        real = self.module.shortcut
        if self.spec.shortcut == "conv":
            return _real(real.conv(real.pool(_nchw(x))), real.norm, found)
        return _nhwc(real(_nchw(x))) if self.spec.shortcut == "pool" else x


def _real(raw: Tensor, norm: Any, found: dict[Any, Statistics]) -> Floats:
    """A real convolution's output, normalised by its own statistics."""
    x = _nhwc(raw)
    factor, bias = _normalisation(norm, x, found, np.ones(x.shape[-1]))
    x *= factor.astype(np.float32)
    x += bias.astype(np.float32)
    return x


def _normalisation(
    norm: Any, raw: Floats, found: dict[Any, Statistics], scale: Doubles
) -> tuple[Doubles, Doubles]:
    """Batch normalisation of scale * raw as raw * factor + bias; its statistics are added up.

    With m and v the mean and variance of `raw`, and gamma and beta the layer's own numbers:
    factor = gamma * scale / sqrt(scale^2 v + eps), bias = beta - m * factor.
    """
    count = raw.size // raw.shape[-1]
    sums, squares = moments(raw)
    mean, variance = sums / count, np.maximum(squares / count - (sums / count) ** 2, 0)
    zeros = np.zeros_like(mean)
    statistics = found.setdefault(norm, Statistics(zeros, zeros))
    statistics.mean = statistics.mean + scale * mean
    statistics.variance = statistics.variance + scale**2 * variance * (count / (count - 1))
    statistics.num_batches += 1
    gamma = np.ones_like(mean) if norm.weight is None else doubles(norm.weight)
    factor = gamma * scale / np.sqrt(scale**2 * variance + float(norm.eps))
    return factor, (zeros if norm.bias is None else doubles(norm.bias)) - mean * factor


def _nchw(x: Floats) -> Tensor:
    """As torch sees it: (N, C, H, W), in the same memory."""
    import torch

    return torch.from_numpy(x).permute(0, 3, 1, 2)


def _nhwc(x: Tensor) -> Floats:
    """The array of a tensor (N, C, H, W), contiguous; the same memory where it can be."""
    array: Floats = x.permute(0, 2, 3, 1).contiguous().numpy()
    return array

"""Where the tensors of a smaller layer lie in those of a larger one, as views.

Leading channels, as Single Path One-Shot's channel search (arXiv 1904.00420) and MetaPruning's
crop (arXiv 1903.10258) have them; the middle of a kernel; and for groups the blocks on the
diagonal, so that a weight between two channels is the same in every network that has it.
"""

from __future__ import annotations

from torch import Tensor

from supernet.spec.layers import ConvSpec, LayerSpec, LinearSpec


def cut(tensor: Tensor, small: LayerSpec, large: LayerSpec) -> Tensor:
    """The view of `tensor`, one of layer `large`, that layer `small` uses of it.

    A convolution's weight (O, I/G, K, K) with `groups` g > 1 where G = 1 becomes
    (g, o/g, i/g, k, k), which `joined` turns into the weight (o, i/g, k, k). One-dimensional
    tensors give their leading values; what holds no channels is whole.

    Raises:
        ValueError: `small` is no part of `large`.
    """
    if type(small) is not type(large):
        raise ValueError(f"'{small.name}' is a {type(small).__name__} and {type(large).__name__}")
    match small:
        case ConvSpec():
            assert isinstance(large, ConvSpec)
            return _cut_conv(tensor, small, large)
        case LinearSpec():
            assert isinstance(large, LinearSpec)
            _check(small, "inputs", small.in_features, large.in_features)
            _check(small, "outputs", small.out_features, large.out_features)
            rows = tensor[: small.out_features]
            return rows[:, : small.in_features] if tensor.dim() == 2 else rows
    channels, held = _channels(small), _channels(large)
    _check(small, "channels", channels, held)
    return tensor[:channels] if tensor.dim() and len(tensor) == held else tensor


def joined(view: Tensor) -> Tensor:
    """The weight of a convolution from the view that `cut` gave; other tensors as they are."""
    return view.flatten(0, 1) if view.dim() == 5 else view


def is_depthwise(layer: ConvSpec) -> bool:
    """One filter a channel."""
    return layer.groups == layer.in_channels == layer.out_channels > 1


def _cut_conv(weight: Tensor, small: ConvSpec, large: ConvSpec) -> Tensor:
    _check(small, "outputs", small.out_channels, large.out_channels)
    _check(small, "inputs", small.in_channels, large.in_channels)
    _check(small, "pixels of a kernel", small.kernel_size, large.kernel_size)
    if (large.kernel_size - small.kernel_size) % 2 or small.stride != large.stride:
        raise ValueError(f"'{small.name}': kernels or strides that have no common middle")
    margin = (large.kernel_size - small.kernel_size) // 2
    middle = slice(margin, margin + small.kernel_size)
    weight = weight[:, :, middle, middle]
    # Of a depthwise convolution one channel may be left, which has one group.
    alone = small.groups == small.in_channels == small.out_channels
    if is_depthwise(large) and alone:
        return weight[: small.out_channels]
    if large.groups == 1:
        weight = weight[: small.out_channels, : small.in_channels]
        if small.groups == 1:
            return weight
        blocks = weight.unflatten(1, (small.groups, -1)).unflatten(0, (small.groups, -1))
        return blocks.diagonal(0, 0, 2).movedim(-1, 0)  # (g, o/g, g, i/g, k, k) -> (g, o/g, i/g..)
    same = small.groups, small.in_channels, small.out_channels
    if same == (large.groups, large.in_channels, large.out_channels):
        return weight
    raise ValueError(
        f"'{small.name}': {small.groups} groups of {small.in_channels} channels are no part of "
        f"{large.groups} groups of {large.in_channels}"
    )


def _channels(layer: LayerSpec) -> int:
    """Channels of a norm, shift or activation; 0 where a layer has none."""
    return int(getattr(layer, "channels", 0))


def _check(layer: LayerSpec, what: str, small: int, large: int) -> None:
    if small > large:
        raise ValueError(f"'{layer.name}' has {small} {what}, the largest network {large}")

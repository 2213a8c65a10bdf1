"""The same networks as the papers' code writes them: the slow side of the training benchmarks.

NCHW, fp32, torch.sign, ApproxSign by masked polynomials, weight signs by detach arithmetic, shifts
as modules of their own, two convolutions where channels double. Written from the formulas for
comparison, not used elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.spec import BinaryUnitSpec, BlockSpec, HeadSpec, NetworkSpec, PoolSpec, StemSpec


def masked_sign(x: Tensor) -> Tensor:
    """Sign whose gradient is that of the piecewise quadratic, through masks of 0 and 1."""
    below, left, right = (x < -1).float(), (x < 0).float(), (x < 1).float()
    rise = -below + (x * x + 2 * x) * (1 - below)
    bend = rise * left + (2 * x - x * x) * (1 - left)
    smooth = bend * right + (1 - right)
    return torch.sign(x).detach() - smooth.detach() + smooth


class PlainShift(nn.Module):
    """A learned number a channel, added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift.expand_as(x)


class PlainConv(nn.Module):
    """Binary convolution by detach arithmetic on clamped latent weights."""

    def __init__(self, spec: BinaryUnitSpec, out_channels: int) -> None:
        super().__init__()
        k = spec.kernel_size
        self.weight = nn.Parameter(
            (torch.rand(out_channels, spec.in_channels // spec.groups, k, k) - 0.5) * 0.02
        )
        self.stride, self.padding, self.groups = spec.stride, k // 2, spec.groups

    def forward(self, signs: Tensor) -> Tensor:
        scale = self.weight.abs().mean(dim=(1, 2, 3), keepdim=True).detach()
        clipped = self.weight.clamp(-1, 1)
        hard = scale * torch.sign(self.weight)
        weight = hard.detach() - clipped.detach() + clipped
        return F.conv2d(signs, weight, None, self.stride, self.padding, 1, self.groups)


class PlainUnit(nn.Module):
    """sign, convolution, BatchNorm, shortcut, activation; doubling by two branches.

    RSign is a shift before the sign; RPReLU is shift, PReLU, shift.
    """

    def __init__(self, spec: BinaryUnitSpec) -> None:
        super().__init__()
        branches = 2 if spec.shortcut == "duplicate" else 1
        width = spec.out_channels // branches
        self.shift = PlainShift(spec.in_channels) if spec.rsign else nn.Identity()
        self.convs = nn.ModuleList(PlainConv(spec, width) for _ in range(branches))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(branches))
        self.shortcut = plain_shortcut(spec)
        self.activation = plain_activation(spec)

    def forward(self, x: Tensor) -> Tensor:
        signs = masked_sign(self.shift(x))
        shortcut = self.shortcut(x)
        parts = [
            norm(conv(signs)) + shortcut for conv, norm in zip(self.convs, self.norms, strict=True)
        ]
        return self.activation(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])


def plain_shortcut(spec: BinaryUnitSpec) -> nn.Module:
    """What each branch adds."""
    pool = nn.AvgPool2d(2, 2) if spec.stride == 2 else nn.Identity()
    if spec.shortcut != "conv":
        return pool
    conv = nn.Conv2d(spec.in_channels, spec.out_channels, 1, bias=False)
    return nn.Sequential(OrderedDict(pool=pool, conv=conv, norm=nn.BatchNorm2d(spec.out_channels)))


def plain_activation(spec: BinaryUnitSpec) -> nn.Module:
    """Nothing, PReLU, or RPReLU."""
    channels = spec.out_channels
    match spec.activation:
        case "prelu":
            return nn.PReLU(channels)
        case "rprelu":
            return nn.Sequential(PlainShift(channels), nn.PReLU(channels), PlainShift(channels))
    return nn.Identity()


def plain_block(block: BlockSpec) -> nn.Module:
    """The plain module of one block of a binary MobileNet or ResNet."""
    match block:
        case StemSpec():
            k = block.kernel_size
            conv = nn.Conv2d(
                block.in_channels, block.out_channels, k, block.stride, k // 2, bias=False
            )
            return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(block.out_channels)))
        case PoolSpec():
            return nn.MaxPool2d(block.kernel_size, block.stride, block.padding)
        case BinaryUnitSpec():
            return PlainUnit(block)
        case HeadSpec():
            linear = nn.Linear(block.in_channels, block.num_classes)
            return nn.Sequential(
                OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), linear=linear)
            )
    raise TypeError(f"no plain module for {type(block).__name__}")


def build_plain(spec: NetworkSpec) -> nn.Module:
    """The plain module of a network, a child a block, named as `spec` names them."""
    blocks = zip(spec.block_names, spec.blocks, strict=True)
    return nn.Sequential(OrderedDict((name, plain_block(block)) for name, block in blocks))

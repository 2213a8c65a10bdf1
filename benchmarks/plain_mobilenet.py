"""The same network as the papers' code writes it: the slow side of training_speed.py.

NCHW, fp32, torch.sign, ApproxSign by masked polynomials, weight signs by detach arithmetic, two
convolutions where channels double. Written from the formulas for comparison, not used elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.spec import BinaryUnitSpec, HeadSpec, NetworkSpec, StemSpec


def masked_sign(x: Tensor) -> Tensor:
    """Sign whose gradient is that of the piecewise quadratic, through masks of 0 and 1."""
    below, left, right = (x < -1).float(), (x < 0).float(), (x < 1).float()
    rise = -below + (x * x + 2 * x) * (1 - below)
    bend = rise * left + (2 * x - x * x) * (1 - left)
    smooth = bend * right + (1 - right)
    return torch.sign(x).detach() - smooth.detach() + smooth


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
    """sign, convolution, BatchNorm, shortcut, PReLU; doubling by two branches."""

    def __init__(self, spec: BinaryUnitSpec) -> None:
        super().__init__()
        branches = spec.out_channels // spec.in_channels
        self.convs = nn.ModuleList(PlainConv(spec, spec.in_channels) for _ in range(branches))
        self.norms = nn.ModuleList(nn.BatchNorm2d(spec.in_channels) for _ in range(branches))
        self.pool = nn.AvgPool2d(2, 2) if spec.stride == 2 else nn.Identity()
        self.activation = nn.PReLU(spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        signs = masked_sign(x)
        shortcut = self.pool(x)
        parts = [
            norm(conv(signs)) + shortcut for conv, norm in zip(self.convs, self.norms, strict=True)
        ]
        return self.activation(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])


def build_plain(spec: NetworkSpec) -> nn.Module:
    """The plain module of a MobileNet spec with duplicating shortcuts."""
    modules: list[nn.Module] = []
    for block in spec.blocks:
        match block:
            case StemSpec():
                conv = nn.Conv2d(
                    block.in_channels, block.out_channels, 3, block.stride, 1, bias=False
                )
                modules += [conv, nn.BatchNorm2d(block.out_channels)]
            case BinaryUnitSpec():
                modules.append(PlainUnit(block))
            case HeadSpec():
                modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
                modules.append(nn.Linear(block.in_channels, block.num_classes))
    return nn.Sequential(*modules)

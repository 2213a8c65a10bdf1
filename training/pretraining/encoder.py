"""What is pre-trained: a network without its last linear layer, and a small head for the loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.files import UserError
from supernet.network import Network
from supernet.spec import HeadSpec, NetworkSpec


def num_features(spec: NetworkSpec) -> int:
    """How many features a network of `spec` has after its global average pooling.

    Raises:
        UserError: it does not end with pooling and a linear layer.
    """
    head = spec.blocks[-1]
    if not isinstance(head, HeadSpec):
        raise UserError(
            f"network '{spec.name}' ends with a block of {type(head).__name__}: to be pre-trained "
            f"it must end with global average pooling and a linear layer (HeadSpec)"
        )
    return head.in_channels


class Encoder(nn.Module):
    """Images to features: (N, C, H, W) -> (N, features). Shares the blocks of `network`.

    The network's head is not part of it and does not learn.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.num_features = num_features(network.spec)
        for name, block in list(network.named_children())[:-1]:
            self.add_module(name, block)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.children():
            x = block(x)
        return x.mean(dim=(2, 3))


class Projected(nn.Module):
    """An encoder and real-valued layers after it, to rows of length 1: (N, C, H, W) -> (N, D)."""

    def __init__(self, encoder: nn.Module, *layers: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.layers(self.encoder(x)), dim=1)


def perceptron(inputs: int, hidden: int, outputs: int, *, norm: bool) -> nn.Sequential:
    """Linear, BatchNorm where `norm` says so, ReLU, linear; without hidden values, one linear."""
    if hidden == 0:
        return nn.Sequential(nn.Linear(inputs, outputs))
    middle = [nn.BatchNorm1d(hidden)] if norm else []
    return nn.Sequential(nn.Linear(inputs, hidden), *middle, nn.ReLU(), nn.Linear(hidden, outputs))


@torch.no_grad()
def follow(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """target <- momentum * target + (1 - momentum) * online, for every parameter.

    Buffers are not followed: the target's BatchNorms see batches of their own.
    """
    own = dict(online.named_parameters())
    for name, parameter in target.named_parameters():
        parameter.lerp_(own[name], 1 - momentum)

"""BatchNorm with a learned shift and no learned factor."""

from __future__ import annotations

from torch import nn


class ShiftNorm(nn.BatchNorm2d):
    """BatchNorm whose factor is 1: `weight` is None. What reads signs alone needs no other.

    y = (x - mean) / sqrt(var + eps) + bias; shapes (N, C, H, W). Keras' `scale=False`.
    """

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)
        self.register_parameter("weight", None)

"""What a layer says of its own numbers, so that nothing else need know its kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from torch import nn

REAL_BITS = 32
"""Of an operand that is not quantised."""


class Layer(nn.Module):
    """A layer that holds latent weights, or shifts a feature map; by default it does neither."""

    bits: int = 1
    """What a latent weight has in the forward pass; 1: its sign."""

    shifts: ClassVar[tuple[str, ...]] = ()
    """Names of its vectors that are added to a feature map before or after a non-linearity."""

    def latent_weights(self) -> Iterator[tuple[nn.Parameter, int]]:
        """The latent weights that it holds itself, each with its fan in."""
        return iter(())

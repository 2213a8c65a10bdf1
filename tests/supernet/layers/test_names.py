"""The names that `supernet.layers` offers, and what every layer says of its own numbers."""

from typing import Any

import pytest
import torch
from torch import nn

import supernet.layers
from supernet.layers import BinaryConv2d, RPReLU, RSign, approx_sign, ste_sign, swish_sign
from supernet.layers.initialisation import initialise_weights
from supernet.layers.layer import Layer
from training.optim.build import binary_weights, decayed_names


def test_names_are_those_of_their_files() -> None:
    for layer in (BinaryConv2d, RPReLU, RSign):
        assert issubclass(layer, nn.Module)
    x = torch.tensor([-2.0, 0.0, 0.5])
    for sign in (approx_sign, ste_sign, swish_sign):
        assert sign(x).tolist() == [-1, 1, 1]
    from supernet.layers import binary_conv

    assert binary_conv.BinaryConv2d is BinaryConv2d
    with pytest.raises(AttributeError, match=r"'supernet\.layers' has no attribute 'Sing'"):
        supernet.layers.Sing  # noqa: B018


class Thresholds(Layer):
    """A layer that nothing in the house has heard of: a latent weight of one bit, and a shift."""

    shifts = ("shift",)

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(3))
        self.latent = nn.Parameter(torch.zeros(3, 4))

    def latent_weights(self) -> Any:
        yield self.latent, 4


def test_a_new_layer_is_initialised_and_optimised_by_what_it_says() -> None:
    module = nn.Sequential(nn.Linear(3, 3), Thresholds())
    initialise_weights(module, "glorot-sign")
    layer = module[1]
    assert set(layer.latent.abs().flatten().tolist()) == {1.0}
    assert binary_weights(module) == [layer.latent]
    assert decayed_names(module, "official") == {"1.shift"}
    layer.bits = 4
    assert binary_weights(module) == []

"""Normalised for one network, images are made those of another."""

import pytest
import torch

from training.data.normalisation import Normalisation


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_one_become_those_of_the_other(channels: int) -> None:
    one = Normalisation((0.1, 0.2, 0.3)[:channels], (0.5, 0.25, 1.0)[:channels], 8)
    other = Normalisation((0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 16)
    assert (one.channels, other.channels) == (channels, 3)
    pixels = torch.rand(2, channels, 8, 8, generator=torch.Generator().manual_seed(0))

    def seen_as(normalisation: Normalisation) -> torch.Tensor:
        mean, std = torch.tensor([normalisation.mean, normalisation.std]).view(2, -1, 1, 1)
        return (pixels - mean) / std

    factor, shift = one.into(other)
    assert factor.shape == shift.shape == (3, 1, 1)
    assert torch.allclose(seen_as(one) * factor + shift, seen_as(other), atol=1e-5)
    factor, shift = other.into(other)
    assert factor.tolist() == [[[1.0]]] * 3 and shift.tolist() == [[[0.0]]] * 3

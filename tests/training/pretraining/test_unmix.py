"""Mixtures of images: Un-Mix's, which the loss takes apart, and the first version's."""

import math
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from training.pretraining.unmix import (
    Box,
    ImageMixtureConfig,
    cut_box,
    draw_mixture,
    loss_of_mixture,
    mix_images,
    mix_region,
    mix_whole,
    reverse,
)


def column(*values: float) -> torch.Tensor:
    """One-pixel images."""
    return torch.tensor(values).view(-1, 1, 1, 1)


def test_whole_images_of_the_paper() -> None:
    x = column(0, 1, 2, 3)
    mixed = mix_whole(x, 0.25)  # [source] 0.25 * [0 1 2 3] + 0.75 * [3 2 1 0]
    assert mixed.flatten().tolist() == [2.25, 1.75, 1.25, 0.75]
    assert reverse(mixed).flatten().tolist() == [0.75, 1.25, 1.75, 2.25]
    # The middle of an odd batch is mixed with itself.
    assert mix_whole(column(1, 5, 2), 0.3).flatten()[1].item() == pytest.approx(5)
    assert torch.equal(reverse(reverse(x)), x)


@pytest.mark.parametrize(
    ("share", "centre", "box", "left"),
    [  # [source]
        (0.5, (16, 16), (5, 5, 27, 27), 0.52734375),
        (0.5, (0, 0), (0, 0, 11, 11), 0.8818359375),
        (0.0, (16, 16), (0, 0, 32, 32), 0.0),
    ],
)
def test_boxes(share: float, centre: tuple, box: tuple, left: float) -> None:
    found = cut_box(32, 32, share, centre)
    assert found == box
    assert 1 - found.area / 1024 == left


def test_a_box_of_nothing() -> None:
    assert cut_box(32, 32, 1.0, (16, 16)).area == 0
    # sqrt(1 - 0.75) = 0.5: half of 8 rows and of 4 columns around (4, 2).
    assert cut_box(8, 4, 0.75, (4, 2)) == Box(2, 1, 6, 3)


def test_a_region_comes_from_the_image_at_the_other_end() -> None:
    x = torch.stack([torch.full((1, 4, 4), float(value)) for value in range(4)])
    mixed = mix_region(x, Box(1, 0, 3, 2))
    for number in range(4):
        inside = mixed[number, 0, 1:3, 0:2]
        assert torch.equal(inside, torch.full((2, 2), 3.0 - number))
        assert mixed[number].sum() == 12 * number + 4 * (3 - number)
    assert x[0].max() == 0  # the images themselves stay


@given(st.integers(0, 2**32), st.sampled_from([0.0, 1.0]), st.integers(1, 9), st.integers(1, 9))
def test_the_share_is_the_part_of_the_image_itself(
    seed: int, whole_share: float, height: int, width: int
) -> None:
    """Image 1 is white and image 0 black: image 1's mean is its own share, whichever way."""
    x = torch.cat([torch.zeros(1, 2, height, width), torch.ones(1, 2, height, width)])
    mixture = draw_mixture(x, whole_share, 1.0, Random(seed))
    assert 0 <= mixture.share <= 1
    assert mixture.images[1].mean().item() == pytest.approx(mixture.share, abs=1e-6)
    # Turned round, position 1 holds the rest of it.
    assert reverse(mixture.images)[1].mean().item() == pytest.approx(1 - mixture.share, abs=1e-6)


def test_how_often_whole_images_are_mixed() -> None:
    x = torch.rand(2, 1, 8, 8) + torch.tensor([0.0, 2.0]).view(2, 1, 1, 1)
    drawn = [draw_mixture(x, 0.5, 1.0, Random(seed)).images for seed in range(400)]
    # A region leaves each pixel as it was in one of the images.
    regions = sum(bool(((mixed == x) | (mixed == reverse(x))).all()) for mixed in drawn)
    assert abs(regions - 200) < 50  # 5 standard deviations of 10


def test_the_loss_weighs_both_ends_by_their_shares() -> None:
    # L(f) = f . (1, 10): 0.25 * (2 + 30) + 0.75 * (3 + 20)
    weights = torch.tensor([1.0, 10.0])
    loss = loss_of_mixture(lambda rows: rows @ weights, torch.tensor([2.0, 3.0]), 0.25)
    assert loss.item() == 0.25 * 32 + 0.75 * 23


def test_one_forward_pass_stands_for_both() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    x = torch.randn(6, 1, 5, 5)
    torch.testing.assert_close(reverse(network(x)), network(reverse(x)))


def test_first_version_changes_both_views_alike() -> None:
    x = torch.rand(40, 2, 6, 6, dtype=torch.float64)
    config = ImageMixtureConfig(whole_probability=0.5, region_probability=0.5)
    first, second = mix_images([x, 4 * x], config, Random(1))
    torch.testing.assert_close(second, 4 * first)
    assert not torch.equal(first, x)


def test_first_version_whole_images_are_between_others() -> None:
    """Image i is everywhere i: two rounds leave it flat, between 0 and the largest."""
    x = torch.arange(50.0).view(-1, 1, 1, 1).expand(50, 1, 4, 4).clone()
    config = ImageMixtureConfig(whole_probability=1, region_rounds=0)
    (mixed,) = mix_images([x], config, Random(2))
    flat = mixed.flatten(1)
    torch.testing.assert_close(flat, flat[:, :1].expand_as(flat))
    assert flat.min() >= 0 and flat.max() <= 49 + 1e-4
    assert (flat[:, 0] - torch.arange(50.0)).abs().gt(1e-3).sum() > 40


def test_first_version_regions_hold_pixels_of_the_batch() -> None:
    x = torch.arange(50.0).view(-1, 1, 1, 1).expand(50, 1, 4, 4).clone()
    config = ImageMixtureConfig(whole_rounds=0, region_probability=1)
    (mixed,) = mix_images([x], config, Random(3))
    assert torch.equal(mixed, mixed.round())
    assert torch.equal(x[:, 0, 0, 0], torch.arange(50.0))
    assert (mixed != x).any(dim=(1, 2, 3)).sum() > 25


def test_first_version_mixes_as_often_as_it_says() -> None:
    x = torch.rand(2000, 1, 4, 4)
    (mixed,) = mix_images([x], ImageMixtureConfig(region_rounds=0), Random(4))
    changed = (mixed != x).any(dim=(1, 2, 3)).sum().item()
    # Two rounds of 0.1: 1 - 0.9^2 = 0.19 of 2000 = 380, give or take 5 * sqrt(380 * 0.81) = 88.
    assert abs(changed - 380) < 5 * math.sqrt(380 * 0.81)
    never = ImageMixtureConfig(whole_probability=0, region_probability=0)
    assert torch.equal(mix_images([x], never, Random(5))[0], x)

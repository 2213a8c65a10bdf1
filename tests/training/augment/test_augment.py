"""Augmentation of whole batches: own draws, closed forms, determinism."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from training.augment.config import AugmentConfig
from training.augment.crops import Crops
from training.augment.images import _resample, _resize_matrices, augment
from training.data.normalisation import Normalisation

MEAN, STD = (0.5, 0.25, 0.0), (0.5, 0.25, 1.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def view(size):
    return Normalisation(MEAN, STD, size)


def levels(images, mean=MEAN, std=STD):
    """Undo the normalisation."""
    shape = (1, -1, 1, 1)
    return (images * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)) * 255


def random_images(batch=16, channels=3, side=32, seed=0):
    return torch.randint(0, 256, (batch, channels, side, side), generator=seeded(seed)).to(
        torch.uint8
    )


@pytest.mark.parametrize("crop", ["none", "pad", "resized"])
@pytest.mark.parametrize("side", [16, 32, 36, 80])
def test_shape_type_and_determinism(crop, side):
    images = random_images(side=side)
    before = images.clone()
    config = AugmentConfig(crop=crop)
    first, second = (augment(images, config, view(32), seeded(3)) for _ in range(2))
    assert first.shape == (16, 3, 32, 32) and first.dtype == torch.float32
    assert torch.equal(first, second) and torch.equal(images, before)
    assert first.isfinite().all()
    assert not torch.equal(first, augment(images, config, view(32), seeded(4)))
    # normalised images stay within the range that levels 0 to 255 have
    assert -0.01 <= levels(first).min() and levels(first).max() <= 255.01


@pytest.mark.parametrize(
    "config",
    [
        AugmentConfig(crop="none", flip=True),
        AugmentConfig(crop="pad", flip=False),
        AugmentConfig(crop="resized", flip=False),
    ],
)
def test_each_image_has_its_own_draw(config):
    images = random_images(batch=1).expand(64, 3, 32, 32)
    results = {tuple(image.flatten().tolist()) for image in augment_all(images, config)}
    # 2 ways to flip; (2 x 2 + 1)^2 = 25 windows, of which 64 draws miss few
    assert len(results) == 2 if config.flip else len(results) > 15


def augment_all(images, config):
    return augment(images, config, view(32), seeded())


def test_pad_crop_cuts_windows_of_the_bordered_image():
    images = random_images(batch=200, side=8)
    config = AugmentConfig(crop="pad", pad=2, flip=True)
    results = levels(augment(images, config, view(8), seeded())).round()
    padded = F.pad(images, (2, 2, 2, 2))
    seen = set()
    for image, result in zip(padded, results, strict=True):
        windows = {
            (top, left, flip): window.flip(2) if flip else window
            for top in range(5)
            for left in range(5)
            for window in [image[:, top : top + 8, left : left + 8]]
            for flip in (False, True)
        }
        matches = [key for key, window in windows.items() if torch.equal(window.float(), result)]
        assert len(matches) == 1
        seen.update(matches)
    assert {key[0] for key in seen} == {key[1] for key in seen} == set(range(5))
    assert {key[2] for key in seen} == {False, True}


def test_no_variation_is_normalisation_alone():
    images = random_images()
    config = AugmentConfig(crop="none", flip=False)
    plain = view(32).apply(images)
    assert torch.equal(augment(images, config, view(32), seeded()), plain)
    expected = (images / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    assert torch.allclose(plain, expected, atol=1e-5)


def test_normalise_crops_the_centre_shrinks_or_enlarges():
    images = random_images(side=36)
    assert torch.equal(view(32).apply(images), view(32).apply(images[:, :, 2:34, 2:34]))
    for side in (16, 100):
        assert view(32).apply(random_images(side=side)).shape == (16, 3, 32, 32)
    flat = torch.full((2, 3, 100, 100), 77, dtype=torch.uint8)
    assert torch.allclose(levels(view(32).apply(flat)), torch.tensor(77.0), atol=1e-3)


@pytest.mark.parametrize(("side", "size"), [(40, 16), (16, 40), (33, 32), (32, 32)])
def test_resampling_of_the_whole_image_is_torchs_antialiased_resize(side, size):
    images = random_images(batch=3, side=side)
    whole = tuple(torch.full((3,), value) for value in (0.0, 0.0, float(side), float(side)))
    ours = _resample(images, Crops(side, *whole, None), size)
    theirs = F.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)
    assert torch.allclose(ours, theirs, atol=1e-2)


def test_resampling_of_a_window_is_resizing_what_was_cut():
    images = random_images(batch=2)
    windows = tuple(torch.tensor(v) for v in ([3.0, 0.0], [5.0, 20.0], [20.0, 9.0], [11.0, 12.0]))
    flip = torch.tensor([False, True])
    ours = _resample(images, Crops(32, *windows, flip), 24)
    cut = [images[0:1, :, 3:23, 5:16], images[1:2, :, 0:9, 20:32]]
    theirs = [F.interpolate(c.float(), (24, 24), mode="bilinear", antialias=True) for c in cut]
    assert torch.allclose(ours[0], theirs[0][0], atol=1e-2)
    assert torch.allclose(ours[1], theirs[1][0].flip(2), atol=1e-2)


def test_resize_matrices_of_one_pixel():
    matrix = _resize_matrices(torch.tensor([3.0]), torch.tensor([1.0]), 5, 4)
    assert torch.equal(matrix[0], torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0]]).expand(4, 5))


def test_resized_crop_keeps_the_share_asked_for():
    # a horizontal ramp: the spread of levels in a row tells the width of the window
    ramp = torch.arange(64, dtype=torch.uint8).mul(4).expand(300, 1, 64, 64)
    config = AugmentConfig(crop="resized", min_scale=0.5, flip=False)
    out = levels(augment(ramp, config, Normalisation((0.0,), (1.0,), 32), seeded()), (0.0,), (1.0,))
    widths = (out[:, 0].amax((1, 2)) - out[:, 0].amin((1, 2))) / 4
    # narrowest: area 0.5 x 64^2 at width/height 3/4 is sqrt(2048 x 3/4) = 39.2 pixels wide
    assert 34 < widths.min() < 46 and widths.max() > 58


def test_augment_ignores_and_keeps_the_global_generator():
    state = torch.random.get_rng_state()
    augment(random_images(), AugmentConfig(crop="resized"), view(32), seeded())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_crops_the_same_windows():
    images = random_images()
    for crop in ("none", "pad", "resized"):
        config = AugmentConfig(crop=crop)
        cpu = augment(images, config, view(32), seeded())
        gpu = augment(images.cuda(), config, view(32), seeded()).cpu()
        assert torch.allclose(cpu, gpu, atol=0.02 if crop == "resized" else 0)


@pytest.mark.parametrize(
    "fields", [{"crop": "random"}, {"pad": -1}, {"min_scale": 0.0}, {"flips": True}]
)
def test_wrong_config_is_refused(fields):
    with pytest.raises(ValidationError):
        AugmentConfig(**fields)

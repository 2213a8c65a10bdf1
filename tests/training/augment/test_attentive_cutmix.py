"""Attentive CutMix: which cells, where they are pasted, what the labels become, and the cache."""

import json
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from supernet.files import UserError, load_weights
from training.augment.attention import Attention, check_attention, open_attention, whole
from training.augment.attentive_cutmix import (
    attention_in_view,
    cell_mask,
    num_cells,
    overlaps,
    top_cells,
)
from training.augment.batch import Batch
from training.augment.config import AttentionConfig, AugmentConfig, MixConfig
from training.augment.crops import Crops, draw_crops
from training.augment.images import augment, crop
from training.augment.mix import mix
from training.data.image_set import MemoryImageSet
from training.data.normalisation import Normalisation
from training.frozen.extractor import Extractor, open_extractor
from training.loop import supervised
from training.loop.batches import Images, Steps, Variation
from training.processes.distributed import Part
from training.run_files.checkpoint import load_checkpoint
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

CLASSES = 5
CPU = torch.device("cpu")
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def attentive(grid: int = 7, cells: int | None = 6, **more: object) -> MixConfig:
    attention = {"extractor": "resnet50", "grid": grid, "cells": cells}
    return MixConfig.model_validate(
        {"name": "attentive-cutmix", "probability": 1.0, "attention": attention, **more}
    )


def brightness(grid: int):  # type: ignore[no-untyped-def]
    """An extractor whose attention is how bright each cell is: it turns with the image."""

    def extract(images: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(images.mean(1), grid)

    return extract


# -- cells ----------------------------------------------------------------------------------


def test_the_paper_s_loss_of_six_cells() -> None:
    # Facts, section 7: p = (.7, .2, .1), y1 = 0 with 6/49, y2 = 1 with 43/49:
    # -(6/49 log .7 + 43/49 log .2) = 1.456038
    images = torch.stack([torch.zeros(3, 7, 7), torch.ones(3, 7, 7)])
    labels = torch.tensor([1, 0])  # image 0 is the background x2, image 1 the donor x1
    rng = Random(0)  # each is the other's partner
    mixed = mix(Batch(images, labels), [attentive()], 3, rng, attend=brightness_of(images))
    assert mixed.labels[0].tolist() == pytest.approx([6 / 49, 43 / 49, 0])
    probabilities = torch.tensor([0.7, 0.2, 0.1])
    loss = -(mixed.labels[0] * probabilities.log()).sum().item()
    assert loss == pytest.approx(1.456038, abs=1e-6)
    assert mixed.images[0].sum() == 3 * 6  # six pixels of the donor in each of three channels


def brightness_of(images: Tensor):  # type: ignore[no-untyped-def]
    return lambda grid: brightness(grid)(images)


@pytest.mark.parametrize(
    ("cells", "share"),
    [(1, 0.0204), (3, 0.0612), (6, 0.1224), (9, 0.1837), (12, 0.2449), (15, 0.3061)],
)
def test_the_share_of_each_number_of_cells(cells: int, share: float) -> None:
    # Facts, section 5.1; at 224 pixels each of the 49 cells is 32 x 32.
    chosen = top_cells(torch.rand(2, 7, 7, generator=seeded()), cells)
    mask = cell_mask(chosen, 224, 224)
    assert mask.float().mean((1, 2, 3)).tolist() == pytest.approx([cells / 49] * 2)
    assert round(cells / 49, 4) == share


@given(st.integers(1, 6), st.integers(0, 2**30), st.data())
@settings(deadline=None)
def test_top_cells_are_those_of_most_attention(grid: int, seed: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, grid**2))
    attention = torch.randint(4, (3, grid, grid), generator=seeded(seed)).float()  # has ties
    chosen = top_cells(attention, count)
    assert (chosen.sum((1, 2)) == count).all()
    for values, cells in zip(attention, chosen, strict=True):
        if count < grid**2:
            assert values[cells].min() >= values[~cells].max()
        # Of equal ones the first in reading order.
        least = values[cells].min()
        tied = cells.flatten()[values.flatten() == least].tolist()
        assert tied == sorted(tied, reverse=True)


@given(st.integers(1, 8), st.integers(1, 40), st.integers(1, 40))
@settings(deadline=None)
def test_cells_part_the_image(grid: int, height: int, width: int) -> None:
    each = torch.eye(grid**2, dtype=torch.bool).view(-1, grid, grid)
    masks = cell_mask(each, height, width)
    assert (masks.sum(0) == 1).all()
    if height % grid == width % grid == 0:
        assert (masks.sum((1, 2, 3)) == height * width // grid**2).all()


def test_a_drawn_share_takes_at_least_one_cell() -> None:
    config, rng = attentive(cells=None, alpha=0.05), Random(0)
    counts = {num_cells(config, rng) for _ in range(300)}
    assert min(counts) == 1 and max(counts) <= 49 and len(counts) > 5
    assert num_cells(attentive(), rng) == 6


# -- mixing ---------------------------------------------------------------------------------


@given(st.sampled_from([(4, 2), (7, 6), (5, 25), (3, None)]), st.integers(0, 2**30))
@settings(deadline=None, max_examples=40)
def test_labels_count_the_pixels_pasted(shape: tuple[int, int | None], seed: int) -> None:
    grid, cells = shape
    colours = LABELS[:, None, None, None].float().expand(-1, 2, 12, 12).contiguous()
    attention = torch.rand(8, grid, grid, generator=seeded(seed))
    config = attentive(grid, cells)
    mixed = mix(Batch(colours, LABELS), [config], CLASSES, Random(seed), attend=lambda g: attention)
    shown = F.one_hot(mixed.images[:, 0].flatten(1).long(), CLASSES).sum(1) / 144
    assert torch.equal(mixed.labels, shown)


def test_the_partner_s_best_cells_lie_in_place() -> None:
    images = torch.rand(8, 3, 8, 8, generator=seeded())
    attention = torch.rand(8, 4, 4, generator=seeded(1))
    mixed = mix(
        Batch(images, LABELS), [attentive(4, 3)], CLASSES, Random(3), attend=lambda g: attention
    )
    rng = Random(3)
    rng.random()  # whether the batch is mixed
    partners = rng.sample(range(8), 8)
    for number, partner in enumerate(partners):
        best = attention[partner].flatten().argsort(descending=True)[:3].tolist()
        expected = images[number].clone()
        for cell in best:
            top, left = 2 * (cell // 4), 2 * (cell % 4)  # cells of 2 x 2 pixels
            area = (slice(None), slice(top, top + 2), slice(left, left + 2))
            expected[area] = images[partner][area]
        assert torch.equal(mixed.images[number], expected)


def test_parts_of_a_batch_are_mixed_as_the_whole_batch() -> None:
    images = torch.rand(8, 3, 8, 8, generator=seeded())
    attention = torch.rand(8, 4, 4, generator=seeded(1))
    config = [attentive(4, None)]
    together = mix(Batch(images, LABELS), config, CLASSES, Random(5), attend=lambda g: attention)
    # What is gathered, in this order: images, labels, the cells of their attention.
    count = num_cells_after_partners(config[0])
    for rank in range(4):
        own = Part(rank, 4)
        everything = iter([images, LABELS, top_cells(attention, count).byte()])
        mixed = mix(
            Batch(own.of(images), own.of(LABELS)),
            config,
            CLASSES,
            Random(5),
            own,
            lambda part: next(everything),  # noqa: B023
            lambda grid: own.of(attention),  # noqa: B023
        )
        assert torch.equal(mixed.images, own.of(together.images))
        assert torch.equal(mixed.labels, own.of(together.labels))


def num_cells_after_partners(config: MixConfig) -> int:
    rng = Random(5)
    rng.random()
    rng.sample(range(8), 8)
    return num_cells(config, rng)


# -- crops and the cache --------------------------------------------------------------------


def test_the_whole_image_is_seen_as_it_is() -> None:
    maps = torch.rand(2, 7, 7, generator=seeded())
    least = maps.amin((1, 2), keepdim=True)
    assert torch.allclose(attention_in_view(maps, whole(2), 7), maps - least)


def test_a_worked_overlap() -> None:
    # 10 pixels, 2 fields of 5; a window of 4 pixels from pixel 3 has 2 cells: pixels 3-4 lie in
    # field 0, pixels 5-6 in field 1. From pixel 4: 4 in field 0, 5 in field 1; 6-7 in field 1.
    share = overlaps(torch.tensor([3.0, 4.0]), torch.tensor([4.0, 4.0]), 10, 2, 2)
    assert share.tolist() == [[[1, 0], [0, 1]], [[0.5, 0.5], [0, 1]]]
    # From pixel -1: the first cell has one pixel of two outside.
    assert overlaps(torch.tensor([-1.0]), torch.tensor([4.0]), 10, 2, 2).tolist() == [
        [[0.5, 0], [1, 0]]
    ]


@pytest.mark.parametrize(
    "config", [{"crop": "none"}, {"crop": "pad", "pad": 3}, {"crop": "resized"}]
)
def test_kept_attention_is_right_under_crops_and_flips(config: dict) -> None:
    """Brightness turns with the image: kept maps must name the cells that the crop itself names."""
    size = 16  # and a field of the map for each pixel of the stored image: nothing is coarse
    stored = torch.randint(1, 256, (32, 1, 16, 16), generator=seeded(), dtype=torch.uint8)
    settings_ = AugmentConfig.model_validate({"flip": True, **config})
    crops = draw_crops(32, 16, settings_, size, seeded(1))
    assert crops.flip is not None and crops.flip.any() and not crops.flip.all()
    seen = crop(stored, crops, settings_, Normalisation((0.0,), (1.0,), size))
    known = stored[:, 0].float() / 255
    kept = attention_in_view(known, crops, 4)
    least = known.amin((1, 2))[:, None, None]
    if config["crop"] == "resized":
        # Resizing smooths a little; the means of cells agree but for that.
        direct = brightness(4)(seen)
        assert (
            torch.corrcoef(torch.stack([direct.flatten(), (kept + least).flatten()]))[0, 1] > 0.97
        )
        return
    # The border is black in the image and no attention in the map: both are the least there is.
    direct = brightness(4)(torch.where(seen > 0, seen - least[:, None], 0))
    assert torch.allclose(direct, kept, atol=1e-6)


def test_flips_alone_mirror_the_cells() -> None:
    maps = torch.rand(4, 7, 7, generator=seeded())
    crops = whole(4)
    mirrored = Crops(1, crops.top, crops.left, crops.height, crops.width, torch.ones(4).bool())
    chosen = top_cells(attention_in_view(maps, mirrored, 7), 6)
    assert torch.equal(chosen, top_cells(maps, 6).flip(2))


@pytest.fixture
def looking(tmp_path: Path) -> str:
    path = tmp_path / "looking.py"
    path.write_text(
        "import torch\n"
        "from torch import nn\n\n\n"
        "def make(num_classes, in_channels):\n"
        "    features = nn.Sequential(nn.Conv2d(in_channels, 2, 3, 2, 1), nn.BatchNorm2d(2))\n"
        "    rest = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2 * 4 * 4, num_classes)]\n"
        "    return nn.Sequential(features, *rest)\n"
    )
    return f"{path}:make"


SEEN = Normalisation((0.4,), (0.3,), 16)


def opened(config: AttentionConfig, seen: Normalisation = SEEN) -> Extractor:
    return open_extractor(config.network, config.size, config.grid, seen, num_classes=5, device=CPU)


def test_the_last_map_that_is_large_enough_is_watched(looking: str) -> None:
    images = torch.randn(3, 1, 16, 16, generator=seeded())
    for grid, side in ((7, 8), (4, 4)):
        config = AttentionConfig(extractor=looking, grid=grid, cells=1)
        extractor = opened(config)
        module = extractor.module
        assert not module.training
        before = {name: value.clone() for name, value in module.state_dict().items()}
        features = module[0](images) if side == 8 else module[1](module[0](images))  # type: ignore[index]
        assert torch.allclose(extractor(images), features.mean(1), atol=1e-6)
        after = module.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_resnet50_looks_at_its_last_stage(tmp_path: Path) -> None:
    from torchvision.models import resnet50

    torch.manual_seed(0)
    theirs = resnet50(num_classes=10).eval()
    path = tmp_path / "resnet50.pth"
    torch.save(theirs.state_dict(), path)
    config = AttentionConfig(extractor="resnet50", weights=path)
    grey = Normalisation((0.4,), (0.3,), 32)
    extractor = opened(config, grey)
    images = torch.randn(2, 1, 32, 32, generator=seeded())
    attention = extractor(images)
    assert attention.shape == (2, 7, 7) and extractor.size == 224
    x = F.interpolate(images, (224, 224), mode="bilinear").expand(-1, 3, -1, -1)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
    with torch.no_grad():
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            x = stage(x)
    assert torch.allclose(attention, x.mean(1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"extractor": "resnet51"}, "no classification model 'resnet51'.*resnet50"),
        ({"extractor": "nowhere.safetensors"}, "nowhere.safetensors: there is no such file"),
        ({"extractor": "resnet50", "weights": "no.pth"}, "no.pth: there is no such file"),
        ({"extractor": "LOOKING", "grid": 9, "cells": 1}, "8 x 8, the grid 9 x 9"),
    ],
)
def test_extractors_are_refused(config: dict, expected: str, looking: str) -> None:
    name = looking if config["extractor"] == "LOOKING" else config["extractor"]
    asked = AttentionConfig.model_validate({**config, "extractor": name})
    with pytest.raises(UserError, match=expected):
        opened(asked)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"name": "attentive-cutmix", "probability": 1}, "needs attention"),
        (
            {"name": "cutmix", "probability": 1, "attention": {"extractor": "resnet50"}},
            "attention is",
        ),
        (
            {
                "name": "attentive-cutmix",
                "probability": 1,
                "attention": {"extractor": "resnet50", "grid": 2},
            },
            "cells is 6, but a grid of 2 x 2 has 4 cells",
        ),
        (
            {
                "name": "attentive-cutmix",
                "probability": 1,
                "alpha": 2,
                "attention": {"extractor": "resnet50"},
            },
            "alpha draws nothing",
        ),
        (
            {"name": "attentive-cutmix", "probability": 1, "attention": {"extractor": "a b:"}},
            "expected a torchvision model",
        ),
    ],
)
def test_configs_are_refused(section: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        MixConfig.model_validate(section)


def test_two_attentive_techniques_are_refused() -> None:
    half = {**attentive().model_dump(), "probability": 0.5}
    with pytest.raises(ValueError, match="stands twice"):
        AugmentConfig.model_validate({"mix": [half, half]})


def some_images(count: int = 24) -> MemoryImageSet:
    pixels = torch.randint(0, 256, (count, 1, 20, 20), generator=seeded(4), dtype=torch.uint8)
    labels = torch.randint(CLASSES, (count,), generator=seeded(5))
    return MemoryImageSet(pixels, labels, tuple("abcde"))


def cached(looking: str, path: Path, **more: object) -> tuple[MixConfig, ...]:
    section = {"extractor": looking, "grid": 4, "cells": 3, "cache": str(path), **more}
    return (
        MixConfig.model_validate(
            {"name": "attentive-cutmix", "probability": 1, "attention": section}
        ),
    )


def test_the_cache_is_made_once_and_knows_its_images(looking: str, tmp_path: Path) -> None:
    images, path = some_images(), tmp_path / "below" / "attention.safetensors"
    mixes = cached(looking, path)
    assert open_attention(None, images, SEEN, CPU) is None
    first = open_attention(mixes, images, SEEN, CPU)
    assert first is not None
    maps, _ = load_weights(path)
    assert maps["attention"].shape == (24, 4, 4) and maps["attention"].dtype == torch.float16
    made = path.stat().st_mtime_ns
    numbers = torch.tensor([3, 20, 3])
    seen = first(torch.zeros(3, 1, 16, 16), numbers, whole(3), 4)
    kept = maps["attention"][numbers].float()
    assert torch.allclose(seen, kept - kept.amin((1, 2), keepdim=True), atol=1e-6)
    assert first.stopwatch.take() > 0 and first.stopwatch.take() == 0
    open_attention(mixes, images, SEEN, CPU)
    assert path.stat().st_mtime_ns == made
    with pytest.raises(UserError, match="other images"):
        open_attention(mixes, some_images(23), SEEN, CPU)
    with pytest.raises(UserError, match="other grid"):
        open_attention(cached(looking, path, grid=3), images, SEEN, CPU)
    assert images.fingerprint() != (same_labels := other_pixels(images)).fingerprint()
    with pytest.raises(UserError, match="other images"):
        open_attention(mixes, same_labels, SEEN, CPU)
    brighter = Normalisation((0.5,), (0.3,), 16)
    with pytest.raises(UserError, match="other extractor"):
        open_attention(mixes, images, brighter, CPU)
    path.write_bytes(b"not tensors")
    for refuses in (open_attention, lambda *given: check_attention(*given[:3])):
        with pytest.raises(UserError, match="attention.safetensors"):
            refuses(mixes, images, SEEN, CPU)


def other_pixels(images: MemoryImageSet) -> MemoryImageSet:
    """The same labels, one pixel of one image another."""
    pixels, labels = images.read(torch.arange(len(images)))
    pixels = pixels.clone()
    pixels[5, 0, 0, 0] ^= 1
    return MemoryImageSet(pixels, labels, images.class_names)


def test_an_own_extractor_is_the_same_wherever_it_is_opened(looking: str, tmp_path: Path) -> None:
    images, mixes = some_images(), cached(looking, tmp_path / "attention.safetensors")
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        open_attention(mixes, images, SEEN, CPU)  # refused where the weights were others
        assert torch.equal(torch.random.get_rng_state(), before)


def test_a_cache_is_checked_before_any_work(looking: str, tmp_path: Path) -> None:
    images, path = some_images(), tmp_path / "attention.safetensors"
    check_attention(cached(looking, path), images, SEEN)
    assert not path.exists()
    # Without the right to write the extractor is asked at every step.
    live = open_attention(cached(looking, path), images, SEEN, CPU, may_write=False)
    assert live is not None and not path.exists()
    (tmp_path / "file").write_text("")
    for bad in (tmp_path, tmp_path / "file" / "below.safetensors"):
        with pytest.raises(UserError, match="expected the name of a file|is a file"):
            check_attention(cached(looking, bad), images, SEEN)


def test_maps_that_lay_channels_last_are_no_maps(tmp_path: Path) -> None:
    path = tmp_path / "last.py"
    path.write_text(
        "import torch\n"
        "from torch import nn\n\n\n"
        "class Turn(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.permute(0, 2, 3, 1)\n\n\n"
        "class Mean(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.mean((1, 2))\n\n\n"
        "def make(num_classes, in_channels):\n"
        "    conv = nn.Conv2d(in_channels, 12, 3, 2, 1)\n"
        "    return nn.Sequential(conv, Turn(), Mean(), nn.Linear(12, num_classes))\n"
    )
    config = AttentionConfig(extractor=f"{path}:make", grid=4, cells=1)
    extractor = opened(config)
    images = torch.randn(3, 1, 16, 16, generator=seeded())
    assert torch.allclose(extractor(images), extractor.module[0](images).mean(1), atol=1e-6)  # type: ignore[index]


def test_batches_say_which_images_they_are() -> None:
    images = some_images()
    steps = list(Steps(images, 4, epochs=2, seed=0).read(3, CPU, Part(1, 2)))
    assert len(steps) == 9
    for pixels, labels, numbers in steps:
        assert torch.equal(images.read(numbers)[0], pixels)
        assert torch.equal(images.labels[numbers], labels) and len(labels) == 2


def test_a_run_with_kept_attention_resumes_bit_for_bit(
    stages: dict, tmp_path: Path, looking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = attentive_stage(stages, looking, epochs=2, cache=tmp_path / "attention.safetensors")
    train_supernet(stage, tmp_path / "whole")
    original, steps = supervised.training_step, iter(range(100))

    def killed(*arguments: object) -> Tensor:
        if next(steps) == 5:
            raise SystemExit
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(supervised, "training_step", killed)
    with pytest.raises(SystemExit):
        train_supernet(stage, tmp_path / "cut")
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["step"] == 5
    monkeypatch.setattr(supervised, "training_step", original)
    train_supernet(stage, tmp_path / "cut")
    whole_run, cut = (
        load_weights(tmp_path / name / "supernet.safetensors")[0] for name in ("whole", "cut")
    )
    assert all(torch.equal(whole_run[name], cut[name]) for name in whole_run)


def test_kept_and_live_attention_paste_alike_where_the_map_turns_with_the_image() -> None:
    pixels = torch.randint(0, 256, (8, 1, 16, 16), generator=seeded(), dtype=torch.uint8)
    pixels[:, :, 0, 0] = 0  # the least level, so that the border's attention is the least
    plain = Normalisation((0.0,), (1.0,), 16)
    config = AugmentConfig(crop="none", flip=True, mix=(attentive(4, 3),))
    live = Attention(brightness(4), None, CPU)
    kept = Attention(brightness(4), brightness(4)(pixels.float() / 255), CPU)
    images = Images(pixels, LABELS, torch.arange(8))
    batches = [
        Variation(config, plain, CLASSES, attention)(images, 0, 3) for attention in (live, kept)
    ]
    assert torch.equal(batches[0].images, batches[1].images)
    assert torch.equal(batches[0].labels, batches[1].labels)
    again = Variation(config, plain, CLASSES, live)(images, 0, 3)
    assert torch.equal(batches[0].images, again.images)


def test_crops_are_drawn_as_augment_draws_them() -> None:
    pixels = torch.randint(0, 256, (8, 1, 20, 20), generator=seeded(), dtype=torch.uint8)
    for kind in ("none", "pad", "resized"):
        config = AugmentConfig.model_validate({"crop": kind})
        crops = draw_crops(8, 20, config, 16, seeded(2))
        half = Normalisation((0.5,), (0.5,), 16)
        apart = crop(pixels, crops, config, half)
        assert torch.equal(apart, augment(pixels, config, half, seeded(2)))


def attentive_stage(stages: dict, extractor: str, epochs: int, cache: Path | None) -> SupernetStage:
    attention = {"extractor": extractor, "size": 16, "grid": 2, "cells": 1, "cache": cache}
    mix_section = {"name": "attentive-cutmix", "probability": 1, "attention": attention}
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    supernet = {**stages["supernet"], "epochs": epochs, "augment": {"mix": [mix_section]}}
    return SupernetStage.model_validate({**sections, "supernet": supernet})


def test_a_training_says_what_the_extractor_takes(
    stages: dict, tmp_path: Path, looking: str
) -> None:
    train_supernet(attentive_stage(stages, looking, 1, None), tmp_path / "run")
    lines = map(json.loads, (tmp_path / "run" / "log.jsonl").read_text().splitlines())
    shares = [line["extractor_share"] for line in lines if "extractor_share" in line]
    assert shares and all(0 < share < 1 for share in shares)

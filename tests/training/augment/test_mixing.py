"""Erasing and mixing of batches: worked boxes, labels that count pixels, parts, seeds, refusals."""

import json
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.files import load_weights
from training.augment.batch import Batch, blend, paste
from training.augment.config import AugmentConfig, EraseConfig, MixConfig
from training.augment.cutmix import box, cut_mask
from training.augment.cutout import cutout_windows
from training.augment.erase import erase
from training.augment.mix import choose, mix
from training.augment.random_erasing import erasing_windows
from training.data.image_set import MemoryImageSet
from training.data.normalisation import Normalisation
from training.loop import supervised
from training.loop.batches import Images, Variation
from training.loop.loop import train_phase
from training.loop.losses import DistillationLoss, Targets
from training.loop.settings import TrainingSettings
from training.processes.distributed import Part
from training.run_files.checkpoint import load_checkpoint
from training.run_files.folder import RunFolder
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

CLASSES = 5
EVERY_ERASURE = [
    EraseConfig(name="cutout", probability=0.7, size=5),
    EraseConfig(name="random-erasing", probability=0.7),
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def one_colour_each(labels: Tensor, height: int = 8, width: int = 8) -> Batch:
    """Images that are all of their label's number: a pixel says which class it shows."""
    images = labels[:, None, None, None].float().expand(-1, 2, height, width)
    return Batch(images.contiguous(), labels)


def shares_of_pixels(images: Tensor) -> Tensor:
    """Of images as of `one_colour_each`: the share of the pixels of each class, (B, CLASSES)."""
    shown = images[:, 0].flatten(1).long()
    return F.one_hot(shown, CLASSES).sum(1) / shown.shape[1]


@pytest.mark.parametrize(
    ("kept", "centre", "expected", "share"),
    [
        # 32 sqrt(.5) = 22.6, so 22 pixels, 11 each way: 1 - 22^2 / 32^2 [source]
        (0.5, (16, 16), (5, 5, 27, 27), 0.52734375),
        (0.5, (0, 0), (0, 0, 11, 11), 0.8818359375),  # 1 - 11^2 / 32^2 [source]
        (0.0, (16, 16), (0, 0, 32, 32), 0.0),  # [source]
        (1.0, (16, 16), (16, 16, 16, 16), 1.0),  # [source]
        # 32 sqrt(1 - .57) = 20.98, so 20 pixels: 10 each way, 2 of which lie outside
        (0.57, (8, 30), (0, 20, 18, 32), 1 - 18 * 12 / 1024),
    ],
)
def test_boxes_are_those_of_the_papers_code(
    kept: float, centre: tuple[int, int], expected: tuple[int, ...], share: float
) -> None:
    top, left, bottom, right = box(32, 32, kept, centre)
    assert (top, left, bottom, right) == expected
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    own, donors = (one_colour_each(torch.tensor([label]), 32, 32) for label in (1, 3))
    mixed = paste(own, donors, mask, CLASSES)
    assert mixed.labels.tolist() == [[0, share, 0, 1 - share, 0]]
    assert torch.equal(mixed.images[0, 0], torch.where(mask, 3.0, 1.0))


@given(
    labels=st.lists(st.integers(0, CLASSES - 1), min_size=2, max_size=9),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    alpha=st.floats(0.1, 4),
    seed=st.integers(0, 10**6),
)
def test_shares_of_labels_are_shares_of_pixels(
    labels: list[int], height: int, width: int, alpha: float, seed: int
) -> None:
    batch = one_colour_each(torch.tensor(labels), height, width)
    config = [MixConfig(name="cutmix", probability=1, alpha=alpha)]
    mixed = mix(batch, config, CLASSES, Random(seed))
    assert torch.equal(mixed.labels, shares_of_pixels(mixed.images))
    assert mixed.labels.dtype == torch.float32


def test_a_mask_of_each_image_counts_for_its_own_label() -> None:
    rates = torch.linspace(0, 1, 6)[:, None, None, None]
    masks = torch.rand(6, 1, 7, 5, generator=seeded()) < rates
    own = one_colour_each(torch.arange(6) % CLASSES, 7, 5)
    donors = one_colour_each(torch.full((6,), 2), 7, 5)
    mixed = paste(own, donors, masks, CLASSES)
    assert torch.equal(mixed.labels, shares_of_pixels(mixed.images))
    assert mixed.labels[2, 2] == 1  # both of class 2


@given(share=st.floats(0, 1), same=st.booleans())
def test_mixup_weighs_pixels_and_labels_alike(share: float, same: bool) -> None:
    # Images of 0 and 1: a pixel is the weight of the donor.
    own, donors = one_colour_each(torch.tensor([0])), one_colour_each(torch.tensor([1]))
    labels = torch.tensor([4]), torch.tensor([4 if same else 3])
    mixed = blend(Batch(own.images, labels[0]), Batch(donors.images, labels[1]), share, CLASSES)
    assert mixed.labels.sum().item() == 1
    if not same:
        assert (mixed.images == mixed.labels[0, 3]).all()
        assert mixed.labels[0, 4].item() == pytest.approx(share, abs=1e-7)


def test_mixup_by_hand() -> None:
    own = Batch(torch.full((1, 1, 1, 1), 8.0), torch.tensor([0]))
    donors = Batch(torch.full((1, 1, 1, 1), -4.0), torch.tensor([2]))
    mixed = blend(own, donors, 0.75, 3)
    assert mixed.images.item() == 0.75 * 8 - 0.25 * 4
    assert mixed.labels.tolist() == [[0.75, 0, 0.25]]


@pytest.mark.parametrize("name", ["cutmix", "mixup"])
def test_partners_are_one_permutation(name: str) -> None:
    batch = Batch(torch.eye(12)[:, :, None, None].expand(12, 12, 4, 4), torch.arange(12))
    config = [MixConfig.model_validate({"name": name, "probability": 1})]
    mixed = mix(batch, config, 12, Random(3))
    # Nothing is lost: every image is an owner once and a donor once.
    torch.testing.assert_close(mixed.labels.sum(0), torch.ones(12))
    torch.testing.assert_close(mixed.images.mean((2, 3)), mixed.labels)


def test_each_technique_acts_with_its_probability() -> None:
    mixes = [MixConfig(name="cutmix", probability=0.5), MixConfig(name="mixup", probability=0.3)]
    rng = Random(0)
    drawn = [config.name if (config := choose(mixes, rng)) else "none" for _ in range(4000)]
    for name, share in (("cutmix", 0.5), ("mixup", 0.3), ("none", 0.2)):
        # sqrt(.25 / 4000) = .008 is one deviation
        assert drawn.count(name) / 4000 == pytest.approx(share, abs=0.03)


def test_where_nothing_acts_labels_stay_numbers() -> None:
    batch = one_colour_each(torch.arange(4))
    mixes = [MixConfig(name="mixup", probability=1e-9)]
    assert mix(batch, mixes, CLASSES, Random(0)) is batch


@pytest.mark.parametrize("config", EVERY_ERASURE, ids=lambda config: config.name)
def test_erasing_fills_a_window_of_some_images(config: EraseConfig) -> None:
    images = torch.full((400, 3, 12, 10), 9.0)
    erased = erase(images, config, seeded())
    assert (images == 9).all()
    changed = erased != 9
    assert torch.equal(changed.all(1), changed.any(1))  # of all channels or of none
    hit = changed[:, 0].flatten(1).any(1)
    assert hit.float().mean().item() == pytest.approx(0.7, abs=0.07)  # 3 sqrt(.21 / 400)
    for window in changed[hit][:, 0]:
        rows, columns = window.any(1).sum(), window.any(0).sum()
        assert window.sum() == rows * columns  # a rectangle
    filled = erased[changed]
    if config.name == "cutout":
        assert (filled == 0).all()
    else:
        assert abs(filled.mean()) < 0.05 and abs(filled.std() - 1) < 0.05


def test_squares_of_cutout_are_clipped_at_the_border() -> None:
    top, left, bottom, right = cutout_windows(2000, 8, 6, 4, seeded())
    assert top.min() == left.min() == 0 and bottom.max() == 8 and right.max() == 6
    # A centre at row 0 covers rows -2..1, at row 7 rows 5..8; else all four.
    expected = {(0, 2), (0, 3), *((row, row + 4) for row in range(5)), (5, 8)}
    assert set(zip(top.tolist(), bottom.tolist(), strict=True)) == expected


@given(
    height=st.integers(4, 40), width=st.integers(4, 40), seed=st.integers(0, 10**6),
    least=st.floats(0.02, 0.4),
)  # fmt: skip
def test_rectangles_lie_inside_and_have_the_area_asked_for(
    height: int, width: int, seed: int, least: float
) -> None:
    windows = erasing_windows(8, height, width, (least, 0.4), (0.3, 3.3), seeded(seed))
    for top, left, bottom, right in windows.T.tolist():
        assert 0 <= top <= bottom <= height and 0 <= left <= right <= width
        high, wide = bottom - top, right - left
        if high * wide:  # each side is rounded by half a pixel at most
            assert (high + 0.5) * (wide + 0.5) >= least * height * width * 0.999
            assert (high - 0.5) * (wide - 0.5) <= 0.4 * height * width * 1.001


PIXELS = torch.randint(0, 256, (8, 3, 12, 12), generator=seeded()).to(torch.uint8)
LABELS = torch.arange(8) % CLASSES
NUMBERS = torch.arange(8)
SEEN = Normalisation((0.5,) * 3, (0.25,) * 3, 12)


def varied(config: AugmentConfig, step: int = 0, seed: int = 0) -> Batch:
    return Variation(config, SEEN, CLASSES)(Images(PIXELS, LABELS, NUMBERS), seed, step)


@pytest.mark.parametrize("name", ["cutmix", "mixup"])
@pytest.mark.parametrize("erasure", EVERY_ERASURE, ids=lambda config: config.name)
def test_a_step_is_a_function_of_seed_and_step(name: str, erasure: EraseConfig) -> None:
    config = AugmentConfig.model_validate(
        {"mix": [{"name": name, "probability": 1}], "erase": erasure.model_dump()}
    )
    first, again, later, other = (
        varied(config, *which) for which in ((3, 0), (3, 0), (4, 0), (3, 1))
    )
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    assert first.images.is_contiguous(memory_format=torch.channels_last)
    for different in (later, other):
        assert not torch.equal(first.images, different.images)
        assert not torch.equal(first.labels, different.labels)


def test_what_is_added_changes_no_other_draw() -> None:
    plain = varied(AugmentConfig()).images
    erased = varied(AugmentConfig(erase=EVERY_ERASURE[0])).images
    kept = erased != 0
    assert torch.equal(erased[kept], plain[kept]) and not kept.all()
    mixes = (MixConfig(name="cutmix", probability=1),)
    alone, both = (
        varied(AugmentConfig(erase=erasure, mix=mixes)) for erasure in (None, EVERY_ERASURE[0])
    )
    assert torch.equal(alone.labels, both.labels)


@pytest.mark.parametrize("name", ["cutmix", "mixup"])
def test_parts_of_a_batch_are_mixed_as_the_whole_batch(name: str) -> None:
    batch = Batch(torch.rand(8, 3, 6, 6, generator=seeded()), LABELS)
    config = [MixConfig.model_validate({"name": name, "probability": 1})]
    whole = mix(batch, config, CLASSES, Random(5))

    def gathered(tensor: Tensor) -> Tensor:
        return batch.labels if tensor.dim() == 1 else batch.images

    for rank in range(4):
        own = Part(rank, 4)
        mine = Batch(own.of(batch.images), own.of(batch.labels))
        mixed = mix(mine, config, CLASSES, Random(5), own, gathered)
        assert torch.equal(mixed.images, own.of(whole.images))
        assert torch.equal(mixed.labels, own.of(whole.labels))


@pytest.mark.parametrize("config", EVERY_ERASURE, ids=lambda config: config.name)
def test_parts_of_a_batch_are_erased_as_the_whole_batch(config: EraseConfig) -> None:
    images = torch.rand(8, 3, 9, 9, generator=seeded())
    whole = erase(images, config, seeded(1))
    parts = [erase(Part(rank, 4).of(images), config, seeded(1), Part(rank, 4)) for rank in range(4)]
    assert torch.equal(torch.cat(parts), whole)


def test_a_device_draws_as_the_cpu_does() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    images, mixes = torch.rand(8, 3, 9, 9), [MixConfig(name="cutmix", probability=1)]
    for config in EVERY_ERASURE:
        on_gpu = erase(images.cuda(), config, seeded()).cpu()
        assert torch.equal(on_gpu, erase(images, config, seeded()))
    for name in ("cutmix", "mixup"):
        mixes = [MixConfig.model_validate({"name": name, "probability": 1})]
        cpu = mix(Batch(images, LABELS), mixes, CLASSES, Random(0))
        gpu = mix(Batch(images.cuda(), LABELS.cuda()), mixes, CLASSES, Random(0))
        torch.testing.assert_close(gpu.images.cpu(), cpu.images)
        assert torch.equal(gpu.labels.cpu(), cpu.labels)


MIXED = {
    "mix": [
        {"name": "cutmix", "probability": 0.5},
        {"name": "mixup", "probability": 0.3, "alpha": 0.4},
    ],
    "erase": {"name": "cutout", "probability": 0.5, "size": 3},
}


def stage_of(stages: dict, **supernet: object) -> SupernetStage:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    settings = {**stages["supernet"], "augment": MIXED, **supernet}
    return SupernetStage.model_validate({**sections, "supernet": settings})


@pytest.mark.parametrize("sampling", [{"rule": "uniform"}, {"rule": "sandwich"}])
def test_a_run_that_mixes_resumes_bit_for_bit(
    stages: dict, tmp_path: Path, sampling: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stage_of(stages, epochs=2, sampling=sampling)
    train_supernet(stage, tmp_path / "whole")
    original = supervised.training_step
    counts = {"steps": 0}

    def killed(*arguments: object) -> Tensor:
        counts["steps"] += 1
        if counts["steps"] == 6:
            raise SystemExit
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(supervised, "training_step", killed)
    with pytest.raises(SystemExit):
        train_supernet(stage, tmp_path / "cut")
    assert load_checkpoint(tmp_path / "cut" / "checkpoint.pt")["step"] == 5
    monkeypatch.setattr(supervised, "training_step", original)
    train_supernet(stage, tmp_path / "cut")
    whole, cut = (load_weights(tmp_path / n / "supernet.safetensors")[0] for n in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
    train_supernet(stage_of(stages, epochs=2, sampling=sampling, augment={}), tmp_path / "plain")
    plain, _ = load_weights(tmp_path / "plain" / "supernet.safetensors")
    assert any(not torch.equal(whole[name], plain[name]) for name in whole)


def test_a_run_folder_of_before_is_no_other_config(stages: dict, tmp_path: Path) -> None:
    stage = stage_of(stages, epochs=1, augment={})
    summary = train_supernet(stage, tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.json"
    document = json.loads(manifest.read_text())
    section = document["config"]["supernet"]["augment"]
    assert section.pop("mix") is None and section.pop("erase") is None
    manifest.write_text(json.dumps(document))
    assert RunFolder(tmp_path / "run", "supernet").finished
    assert train_supernet(stage, tmp_path / "run") == summary


def test_the_teacher_sees_the_mixed_images(stages: dict, tmp_path: Path) -> None:
    seen: list[Tensor] = []
    learned: list[Targets] = []

    class Watched(DistillationLoss):
        def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
            learned.append(targets)
            return super().__call__(logits, targets)

    def teacher(x: Tensor) -> Tensor:
        seen.append(x)
        return x.new_zeros(len(x), CLASSES)

    class Twice(supervised.SupervisedTraining):
        def paths(self, step: int) -> list[nn.Module]:
            return [self.module, self.module]

        def loss(self, settings: object) -> Watched:
            return Watched(teacher, label_weight=0.5)

        def save(self, *given: object) -> None:
            raise AssertionError("a phase saves no weights")

    settings = TrainingSettings.model_validate(
        {
            "epochs": 1,
            "batch_size": 8,
            "augment": {"mix": [{"name": "cutmix", "probability": 1}]},
        }
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, CLASSES))
    given: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, x: given.append(x[0]))
    images = MemoryImageSet(PIXELS, LABELS, tuple("abcde"))
    training = Twice(
        module=network, images=images, seen=SEEN, seed=0, device=torch.device("cpu"),
        folder=tmp_path, label="test", settings=settings, spec=None,
    )  # fmt: skip
    train_phase(training, 1, lambda **numbers: None)
    assert len(seen) == 1 and len(given) == len(learned) == 2  # one step of two paths
    assert all(x is seen[0] for x in given)
    for targets in learned:
        assert targets.labels.shape == (8, CLASSES)
        torch.testing.assert_close(targets.labels.sum(1), torch.ones(8))


@pytest.mark.parametrize(
    ("augment", "expected"),
    [
        ({"mix": [{"name": "cutmix", "probability": 0.6}] * 2}, "add up to 1.2"),
        ({"mix": [{"name": "cutmix"}]}, "mix.0.probability\n  Field required"),
        ({"mix": [{"name": "cutmix", "probability": 0}]}, "greater than 0"),
        ({"mix": [{"name": "mixup", "probability": 1, "alpha": 0}]}, "greater than 0"),
        ({"mix": [{"name": "mixup", "probability": 1, "size": 3}]}, "Extra inputs"),
        ({"mix": [{"name": "cutout", "probability": 1}]}, "'cutmix', 'mixup'"),
        ({"erase": {"name": "cutout", "probability": 1}}, "cutout needs size"),
        (
            {"erase": {"name": "cutout", "probability": 1, "size": 4, "area": (0.1, 0.2)}},
            "area is for random-erasing, not for cutout",
        ),
        (
            {"erase": {"name": "random-erasing", "probability": 1, "size": 4}},
            "size is for cutout, not for random-erasing",
        ),
        (
            {"erase": {"name": "random-erasing", "probability": 1, "area": (0.5, 0.2)}},
            "expected two rising shares",
        ),
        (
            {"erase": {"name": "random-erasing", "probability": 1, "aspect": (0, 1)}},
            "greater than 0",
        ),
        (
            {"erase": {"name": "random-erasing", "probability": 1, "aspect": (2, 1)}},
            "expected two rising numbers",
        ),
        (
            {
                "erase": {
                    "name": "random-erasing",
                    "probability": 1,
                    "area": (0.5, 0.6),
                    "aspect": (3, 4),
                }
            },
            "fits",
        ),
    ],
)
def test_config_refuses(augment: dict, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        AugmentConfig.model_validate(augment)


def test_probabilities_may_add_up_to_one() -> None:
    tenths = [{"name": "cutmix", "probability": p} for p in (0.7, 0.2, 0.1)]
    assert AugmentConfig.model_validate({"mix": tenths}).mix is not None


def test_cut_masks_are_those_of_their_seed() -> None:
    masks = [cut_mask(16, 12, 1.0, Random(seed)) for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])

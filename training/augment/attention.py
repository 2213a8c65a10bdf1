"""Where an extractor looks in the images of a step: asked at every step, or once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from supernet.files import UserError, check_output, load_weights, save_weights
from training.augment.attentive_cutmix import attention_in_view
from training.augment.config import AttentionConfig, MixConfig
from training.augment.crops import Crops
from training.augment.stopwatch import Stopwatch
from training.data.image_set import READ_AT_ONCE, ImageSet
from training.data.normalisation import Normalisation
from training.frozen.extractor import Extractor, open_extractor
from training.processes.distributed import on_first, part, state_of_first
from training.run_files.progress import Progress


class Attention:
    """The attention of a batch as it falls into grid x grid cells; the time it took.

    `known`: the maps of all training images, (N, M, M) on the device. Without them the extractor
    sees the batch itself, cropped and erased as the network sees it.
    """

    def __init__(
        self, extract: Callable[[Tensor], Tensor], known: Tensor | None, device: torch.device
    ) -> None:
        self._extract, self._known = extract, known
        self.stopwatch = Stopwatch(device)

    def __call__(self, images: Tensor, numbers: Tensor, crops: Crops, grid: int) -> Tensor:
        """float32 (B, grid, grid) of images (B, C, H, W), numbered `numbers` in the training set.

        `crops` are those that the images went through.
        """
        with self.stopwatch:
            if self._known is None:
                return attention_in_view(self._extract(images), whole(len(images)), grid)
            maps = self._known[numbers.to(self._known.device)]
            return attention_in_view(maps, crops, grid)


def whole(batch: int) -> Crops:
    """Windows that are all of each image."""
    zeros, ones = torch.zeros(batch), torch.ones(batch)
    return Crops(1, zeros, zeros, ones, ones, None)


def attentive(mixes: Sequence[MixConfig] | None) -> AttentionConfig | None:
    """The extractor that a config asks for; None where it asks for none."""
    return next((mix.attention for mix in mixes or () if mix.attention is not None), None)


def check_attention(
    mixes: Sequence[MixConfig] | None, images: ImageSet, seen: Normalisation
) -> None:
    """Find out before any work what `open_attention` would refuse, and whether a cache can stand.

    Raises:
        UserError: an extractor that cannot be read, a cache of other images, or no place for one.
    """
    config = attentive(mixes)
    if config is None:
        return
    extractor = extractor_of(config, images, seen, torch.device("cpu"))
    if config.cache is not None:
        check_output(config.cache)
        if config.cache.exists():
            _read(config.cache, _identity(config, extractor, images))


def open_attention(
    mixes: Sequence[MixConfig] | None,
    images: ImageSet,
    seen: Normalisation,
    device: torch.device,
    *,
    may_write: bool = True,
) -> Attention | None:
    """What a training on `images` needs for its mixes; None where it needs no attention.

    The cache is made where there is none; without `may_write` the extractor is then asked at every
    step. Of several processes the first one alone makes and reads it.

    Raises:
        UserError: an extractor that cannot be read, or a cache of other images.
    """
    config = attentive(mixes)
    if config is None:
        return None
    extractor = extractor_of(config, images, seen, device)
    path = config.cache
    if path is None or not (may_write or path.exists()):
        return Attention(extractor, None, device)
    wanted = _identity(config, extractor, images)

    def make() -> None:
        if not path.exists():
            maps = _maps(extractor, images, seen, device)
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(path, {"attention": maps}, wanted)
        _read(path, wanted)

    on_first(make)
    kept = state_of_first({"attention": _read(path, wanted)} if part().rank == 0 else None)
    assert kept is not None
    return Attention(extractor, kept["attention"].to(device), device)


def extractor_of(
    config: AttentionConfig, images: ImageSet, seen: Normalisation, device: torch.device
) -> Extractor:
    """The extractor of a config, for `images` normalised as `seen`; see `open_extractor`."""
    classes = len(images.class_names)
    return open_extractor(
        config.network, config.size, config.grid, seen, num_classes=classes, device=device
    )


def _identity(config: AttentionConfig, extractor: Extractor, images: ImageSet) -> dict[str, str]:
    """What kept attention depends on, in words."""
    return {
        "extractor": extractor.digest(),
        "pixels a side": str(extractor.size),
        "grid": str(config.grid),
        "images": images.fingerprint(),
    }


def _read(path: Path, wanted: dict[str, str]) -> Tensor:
    """The maps in a cache.

    Raises:
        UserError: it is damaged, or of another identity than `wanted`.
    """
    tensors, found = load_weights(path)
    differing = [name for name, value in wanted.items() if found.get(name) != value]
    if differing:
        raise UserError(
            f"attention cache {path}: was made for other {' and '.join(differing)}; name another "
            f"file in attention.cache, or remove this one"
        )
    return tensors["attention"]


def _maps(
    extractor: Extractor, images: ImageSet, seen: Normalisation, device: torch.device
) -> Tensor:
    """The attention of every image, whole as it is stored: float16 (N, M, M), greatest 1."""
    rows = []
    with Progress("attention of the training images", len(images)) as progress:
        for pixels, _ in images.batches(torch.arange(len(images)), READ_AT_ONCE, device):
            maps = extractor(seen.of_levels(pixels))
            # float16 ends at 65504: maps are kept as shares of their greatest value.
            greatest = maps.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
            rows.append((maps / greatest).half().cpu())
            progress.advance(len(pixels))
    return torch.cat(rows)

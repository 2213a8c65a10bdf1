"""The images that training and search may see: the training part, split once by seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from supernet.files import UserError
from supernet.files.image_view import View
from supernet.files.telling import tell_once
from supernet.space import SearchSpace
from supernet.spec import NetworkSpec
from training.data import image_folder
from training.data.config import BEFORE, DataConfig
from training.data.image_set import READ_AT_ONCE, ImageSet
from training.data.normalisation import Normalisation
from training.data.readers import open_part
from training.data.splits import stratified_split

MAX_IMAGES_FOR_STATISTICS = 10_000
MIN_STD = 1 / 255  # of a channel that is constant, which would divide by zero


@dataclass(frozen=True)
class TrainingData:
    """A data set's training images; the test part cannot be reached from here."""

    config: DataConfig
    everything: ImageSet  # train and search together, in the data set's order: for retraining
    train: ImageSet
    search: ImageSet  # held out of training; candidates are ranked on it

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of their labels."""
        return self.everything.class_names

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    @property
    def channels(self) -> int:
        """Return 1 for grey, 3 for RGB."""
        return self.everything.channels

    @property
    def mean(self) -> tuple[float, ...]:
        """Return each channel's mean, pixels in [0, 1]."""
        return self._statistics[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Return each channel's standard deviation, pixels in [0, 1]."""
        return self._statistics[1]

    @property
    def view(self) -> View:
        """How an image file becomes what networks see of it."""
        return self.config.view(self.channels)

    def seen_by(self, spec: NetworkSpec) -> Normalisation:
        """What a network of `spec` sees of these images."""
        return Normalisation(self.mean, self.std, spec.image_size)

    @cached_property
    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Compute mean and standard deviation from at most 10,000 images drawn by seed."""
        num_images = min(MAX_IMAGES_FOR_STATISTICS, len(self.everything))
        draw = random.Random(f"{self.config.split_seed}/statistics")
        order = torch.tensor(sorted(draw.sample(range(len(self.everything)), num_images)))
        # Histograms are exact, so the result depends on no batch size and no summation order.
        counts = torch.zeros(self.channels, 256, dtype=torch.int64)
        for images, _ in self.everything.batches(order, READ_AT_ONCE):
            for channel in range(self.channels):
                counts[channel] += torch.bincount(images[:, channel].flatten(), minlength=256)
        levels = torch.arange(256, dtype=torch.float64) / 255
        shares = counts / counts.sum(1, keepdim=True, dtype=torch.float64)
        mean = shares @ levels
        std = (shares @ levels**2 - mean**2).clamp(min=0).sqrt().clamp(min=MIN_STD)
        return tuple(mean.tolist()), tuple(std.tolist())

    def manifest(self) -> dict[str, Any]:
        """Describe what was used, for the run folder; of the test part only file names are read.

        The hash of a split covers its pixels and labels in order; for image folders the relative
        names and sizes of its files instead.
        """
        manifest: dict[str, Any] = {
            "name": self.config.name,
            "image_size": self.config.image_size,
            "stored_size": self.everything.size,
            "channels": self.channels,
            "view": self.view.describe(),
            "class_names": list(self.class_names),
            "split_seed": self.config.split_seed,
            "splits": {"train": _describe(self.train), "search": _describe(self.search)},
        }
        if self.config.name == "imagefolder":
            manifest["splits"]["test"] = image_folder.describe_test(self.config)
        return manifest


def open_for(space: SearchSpace, config: DataConfig) -> TrainingData:
    """`open_training_data`, in the channels that the space's networks take.

    A config that says how many stays as it is.
    """
    return open_training_data(config.taking(space.decode(space.first()).in_channels))


def open_training_data(config: DataConfig) -> TrainingData:
    """Open the training part and split it by `config.split_seed`.

    Raises:
        UserError: the data set is missing or damaged, or a class is too small to split.
    """
    everything = open_part(config, "train")
    _say_if_before(config, everything)
    train, search = stratified_split(
        everything.labels,
        fraction=config.search_fraction if config.search_per_class is None else None,
        per_class=config.search_per_class,
        seed=config.split_seed,
        class_names=everything.class_names,
    )
    return TrainingData(config, everything, everything.subset(train), everything.subset(search))


def _say_if_before(config: DataConfig, images: ImageSet) -> None:
    """Once, of a cache: that it was made before caches said how transparency is shown."""
    view = getattr(images, "view", None)
    if isinstance(view, View) and view.background is None and config.view_rule != BEFORE:
        tell_once(
            f"{config.cache}: was made when transparency was dropped; if any of its images is "
            f"transparent, make it again"
        )


def _describe(images: ImageSet) -> dict[str, Any]:
    return {
        "num_images": len(images),
        "num_per_class": images.num_per_class(),
        "sha256": images.fingerprint(),
    }


def check_fit(spec: NetworkSpec, data: TrainingData) -> None:
    """Compare image size, channels and classes.

    Raises:
        UserError: names both sides.
    """
    if spec.image_size != data.config.image_size:
        raise UserError(
            f"space.image_size is {spec.image_size}, but data.image_size is "
            f"{data.config.image_size}; give both the same number of pixels"
        )
    if spec.in_channels != data.channels:
        raise UserError(
            f"space.in_channels is {spec.in_channels}, but the images of data set "
            f"'{data.config.name}' have {data.channels} channels"
        )
    if spec.num_classes != data.num_classes:
        named = ", ".join(data.class_names[:5]) + (", ..." if data.num_classes > 5 else "")
        raise UserError(
            f"space.classes is {spec.num_classes}, but data set '{data.config.name}' has "
            f"{data.num_classes} classes ({named})"
        )

"""The images that training and search may see: the training part, split once by seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from supernet.files import UserError
from supernet.files.image_view import View
from supernet.files.telling import tell_once
from supernet.space import SearchSpace
from supernet.spec import NetworkSpec
from training.data import image_folder
from training.data.config import BEFORE, OF_FILES, DataConfig
from training.data.file_list import SEARCH, TEST, FileList, say_roles
from training.data.image_set import READ_AT_ONCE, ImageSet
from training.data.normalisation import Normalisation
from training.data.readers import open_part
from training.data.splits import stratified_split
from training.split_facts import SplitFacts

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
            "splits": dict(self._splits),
        }
        if self._roles:
            manifest["parts"] = dict(self._roles)
        return manifest

    @property
    def facts(self) -> SplitFacts:
        """What each split holds, of the test part the names and sizes of its files."""
        # Not kept: of ImageNet's files they would be hundreds of megabytes in each process.
        parts = {"train": files_of(self.train), "search": files_of(self.search)}
        if self._test is not None:
            parts["test"] = self._test
        listed = {name: files.entries() for name, files in parts.items() if files is not None}
        return SplitFacts.of(self._splits, listed)

    @cached_property
    def _splits(self) -> dict[str, Any]:
        splits = {"train": _describe(self.train), "search": _describe(self.search)}
        if self._test is not None:
            splits["test"] = image_folder.describe_test(self.config, self._roles, self._test)
        return splits

    @cached_property
    def _test(self) -> FileList | None:
        """The files of the test part, listed once; None of others than files."""
        return image_folder.test_files(self.config) if self.config.name in OF_FILES else None

    @property
    def _roles(self) -> Mapping[str, str]:
        """Which of the data set's own parts is used as what; none of others than files."""
        files = files_of(self.everything)
        return {} if files is None else files.roles


def open_for(space: SearchSpace, config: DataConfig) -> TrainingData:
    """`open_training_data`, in the channels that the space's networks take.

    A config that says how many stays as it is.
    """
    return open_training_data(config.taking(space.decode(space.first()).in_channels))


def open_training_data(config: DataConfig) -> TrainingData:
    """Open the training part and split it by `config.split_seed`, unless it has a search split.

    Raises:
        UserError: the data set is missing or damaged, a class is too small to split, or the config
            wants a share of images held out that the data set itself holds out.
    """
    everything = open_part(config, "train")
    _say_if_before(config, everything)
    files = files_of(everything)
    if files is not None and files.roles:
        tell_once(f"{config.labels or config.root or files.root}: {say_roles(files.roles)}")
    if files is not None and files.num_search:
        _check_no_share(config, files)
        rows = torch.arange(len(everything))
        train, search = rows[: -files.num_search], rows[-files.num_search :]
    else:
        train, search = _draw_search(config, everything)
    data = TrainingData(config, everything, everything.subset(train), everything.subset(search))
    say_unequal(config.name, "training images", everything.num_per_class())
    return data


def files_of(images: ImageSet) -> FileList | None:
    """The files that a set's images lie in; None where they are not a file each."""
    files = getattr(images, "files", None)
    return files if isinstance(files, FileList) else None


def _check_no_share(config: DataConfig, files: FileList) -> None:
    if config.is_of_a_file:
        return  # its network was trained by it
    for name in ("search_fraction", "search_per_class"):
        if getattr(config, name) != DataConfig.model_fields[name].default:
            raise UserError(
                f"data.{name} is for a data set without a search split of its own; here "
                f"{files.roles[SEARCH]} is the search split: leave it out"
            )


def _draw_search(config: DataConfig, everything: ImageSet) -> tuple[Tensor, Tensor]:
    files = files_of(everything)
    in_test: Mapping[str, int] = {}
    if config.name in OF_FILES and files is not None and TEST not in files.roles:
        in_test = image_folder.test_files(config).num_per_class()
    return stratified_split(
        everything.labels,
        fraction=config.search_fraction if config.search_per_class is None else None,
        per_class=config.search_per_class,
        seed=config.split_seed,
        class_names=everything.class_names,
        held_out_before=in_test,
    )


MUCH_LARGER = 10
"""Times as many images, from which on a class is said to be much larger than another."""


def _say_if_before(config: DataConfig, images: ImageSet) -> None:
    """Once, of a cache: that it was made before caches said how transparency is shown."""
    view = getattr(images, "view", None)
    if isinstance(view, View) and view.background is None and config.view_rule != BEFORE:
        tell_once(
            f"{config.cache}: was made when transparency was dropped; if any of its images is "
            f"transparent, make it again"
        )


def say_unequal(name: str, what: str, num_per_class: Mapping[str, int]) -> None:
    """Say it where one class has over ten times the images of another."""
    if (note := unequal(num_per_class, what)) is not None:
        tell_once(f"{name}: {note}")


def unequal(num_per_class: Mapping[str, int], what: str) -> str | None:
    """In words, that one class has over ten times the images of another."""
    present = {name: number for name, number in num_per_class.items() if number}
    if not present:
        return None
    most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
    if present[most] <= MUCH_LARGER * present[least]:
        return None
    return (
        f"class '{most}' has {present[most]:,} {what}, '{least}' {present[least]:,}: top-1 is "
        f"mostly that of the larger ones; balanced top-1 counts every class alike"
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

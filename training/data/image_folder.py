"""Folders of images: the ImageNet layout, and any folder of class folders."""

from typing import Any

from torch import Tensor

from supernet.files import UserError
from supernet.files.image_file import storage_size
from training.data.cache import ImageCache
from training.data.config import DataConfig, Part
from training.data.file_list import FileList, list_parts
from training.data.folder_images import FolderImageSet, Kept
from training.data.image_set import ImageSet
from training.data.splits import stratified_split

CHANNELS = 3  # files are converted to RGB


def read(config: DataConfig, part: Part) -> ImageSet:
    """Open one part of the folder `root`, or of its cache.

    A folder without a test part gives `test_fraction` of each class to it, by `split_seed`.
    Images are `storage_size(image_size)` pixels wide, or as wide as those of the cache.
    """
    cache = None if config.cache is None else ImageCache.open(config.cache)
    parts = _list_parts(config, cache)
    name = "all" if "all" in parts else part
    images: ImageSet
    if cache is None:
        size = storage_size(config.image_size)
        kept = Kept.of(len(parts[name]), CHANNELS, size)
        images = FolderImageSet(parts[name], size, CHANNELS, config.loader_workers, kept)
    else:
        images = cache.image_set(name)
    return images.subset(_own_split(config, parts["all"])[part]) if name == "all" else images


def describe_test(config: DataConfig) -> dict[str, Any]:
    """Describe the test part by names and sizes of its files; none of them is opened."""
    cache = None if config.cache is None else ImageCache.open(config.cache)
    parts = _list_parts(config, cache)
    if "all" in parts:
        files = parts["all"].subset(_own_split(config, parts["all"])["test"])
        origin = f"{config.test_fraction:g} of each class, by split_seed"
    else:
        files, origin = parts["test"], "the folder's own"
    return {
        "origin": origin,
        "num_images": len(files),
        "num_per_class": files.num_per_class(),
        "sha256_of_names_and_sizes": files.digest(),
    }


def _list_parts(config: DataConfig, cache: ImageCache | None) -> dict[str, FileList]:
    if cache is None:
        if config.root is None:
            raise UserError("imagefolder: data.root is not set, expected a folder of class folders")
        return list_parts(config.root)
    if cache.size < config.image_size:
        raise UserError(
            f"{cache.folder}: holds images of {cache.size} pixels, expected at least "
            f"{config.image_size} (data.image_size)"
        )
    if config.root is not None and config.root.is_dir():
        now = {name: files.digest() for name, files in list_parts(config.root).items()}
        if now != {name: files.digest() for name, files in cache.parts.items()}:
            raise UserError(
                f"{cache.folder}: does not fit the files in {config.root} any more, "
                "expected a cache of them: build it again"
            )
    return cache.parts


def _own_split(config: DataConfig, files: FileList) -> dict[Part, Tensor]:
    train, test = stratified_split(
        files.labels,
        fraction=config.test_fraction,
        seed=config.split_seed,
        class_names=files.class_names,
    )
    return {"train": train, "test": test}

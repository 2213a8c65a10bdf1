"""Images in files: folders of parts, any folder of class folders, and lists in a CSV file."""

import shlex
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from supernet.files import UserError
from supernet.files.image_view import View, usual_stored
from supernet.files.telling import tell_once
from training.data.cache import ImageCache
from training.data.config import BEFORE, DataConfig, Part
from training.data.decoding.folder_images import FolderImageSet, Kept
from training.data.file_list import SEARCH, TEST, TRAIN, FileList, list_parts
from training.data.image_list import read_list
from training.data.image_set import ImageSet
from training.data.splits import stratified_split

CHANNELS = 3  # where nothing says otherwise, files are shown in RGB


def read(config: DataConfig, part: Part) -> ImageSet:
    """Open one part of the folder `root`, or of its cache.

    A folder without a test part gives `test_fraction` of each class to it, by `split_seed`.
    """
    cache = None if config.cache is None else ImageCache.open(config.cache)
    parts = _list_parts(config, cache)
    name = "all" if "all" in parts else part
    images: ImageSet
    if cache is None:
        view = _view(config)
        kept = Kept.of(len(parts[name]), view)
        images = FolderImageSet(parts[name], view, config.loader_workers, kept)
    else:
        images = cache.image_set(name)
    return images.subset(_own_split(config, parts["all"])[part]) if name == "all" else images


def test_files(config: DataConfig) -> FileList:
    """The files of the test part; none of them is opened."""
    parts = _list_parts(config, None if config.cache is None else ImageCache.open(config.cache))
    if "all" not in parts:
        return parts["test"]
    return parts["all"].subset(_own_split(config, parts["all"])["test"])


def describe_test(config: DataConfig, roles: Mapping[str, str], files: FileList) -> dict[str, Any]:
    """Describe the test part by names and sizes of its `files`; `roles`: see `FileList`."""
    drawn = f"{config.test_fraction:g} of each class, by split_seed"
    return {
        "origin": "the folder's own" if TEST in roles else drawn,
        "num_images": len(files),
        "num_per_class": files.num_per_class(),
        "sha256_of_names_and_sizes": files.digest(),
    }


def _list_parts(config: DataConfig, cache: ImageCache | None) -> dict[str, FileList]:
    if cache is None:
        return _list_now(config)
    _check_cache(config, cache)
    source = config.labels if config.name == "imagelist" else config.root
    if source is not None and source.exists():
        if not _fits(config, cache):
            raise UserError(
                f"{cache.folder}: does not fit the files in {source} any more, "
                "expected a cache of them: build it again"
            )
    return cache.parts


def _view(config: DataConfig) -> View:
    return config.view(config.channels or CHANNELS)


def _check_cache(config: DataConfig, cache: ImageCache) -> None:
    """Demand a cache of the images that the config's view keeps.

    Raises:
        UserError: it holds others; says how to make it, or to use it as it is.
    """
    if config.view_rule == BEFORE:
        if cache.view.stored < config.image_size:
            raise UserError(
                f"{cache.folder}: holds images of {cache.view.stored} pixels, expected at least "
                f"{config.image_size} (data.image_size)"
            )
        return
    view = _view(config)
    names = ("stored", "resize", "channels")
    kept, wanted = ({n: getattr(v, n) for n in names} for v in (cache.view, view))
    if kept != wanted:
        raise UserError(
            f"{cache.folder}: holds images of {_in_words(kept)}, but this config's networks of "
            f"{view.size} pixels see them of {_in_words(wanted)}; make it again: evobit cache "
            f"{' '.join([*_source(config, cache), *_options(view)])}"
        )


def _source(config: DataConfig, cache: ImageCache) -> list[str]:
    """What `evobit cache` is to be given, in a shell's words."""
    if config.name != "imagelist":
        return [shlex.quote(str(config.root or cache.root))]
    labels = "LIST.csv" if config.labels is None else shlex.quote(str(config.labels))
    return [labels, "--root", shlex.quote(str(config.root or cache.root))]


def _in_words(kept: dict[str, Any]) -> str:
    colour = "grey" if kept["channels"] == 1 else "colour"
    return f"{kept['stored']} pixels a side in {colour} (resize: {kept['resize']})"


def _options(view: View) -> list[str]:
    """Of `evobit cache`, for a view."""
    options = ["--size", str(view.size)]
    if view.stored != usual_stored(view.size, view.resize):
        options += ["--stored", str(view.stored)]
    if view.resize != "crop":
        options += ["--resize", view.resize]
    if view.channels != CHANNELS:
        options += ["--channels", str(view.channels)]
    return options


def _fits(config: DataConfig, cache: ImageCache) -> bool:
    """Whether a cache holds the files that are there now."""
    now, held = _list_now(config), _digests(cache.parts)
    if held == _digests(now):
        return True
    train = now.get(TRAIN)
    if config.root is None or train is None or not train.num_search:
        return False
    if held != _digests(_list_now(config.model_copy(update={"view_rule": BEFORE}))):
        return False
    tell_once(
        f"{cache.folder}: was made without {train.roles[SEARCH]}: the search split is drawn from "
        f"{train.roles[TRAIN]} by seed; build it again to use {train.roles[SEARCH]}"
    )
    return True


def _digests(parts: Mapping[str, FileList]) -> dict[str, str]:
    return {name: files.digest() for name, files in parts.items()}


def _list_now(config: DataConfig) -> dict[str, FileList]:
    if config.labels is not None:
        return read_list(config.labels, config.root)
    if config.name == "imagelist":
        below = "" if config.root is None else f" below {config.root}"
        raise UserError(
            f"imagelist: data.labels is not set, expected the CSV file that lists the images{below}"
        )
    if config.root is None:
        raise UserError("imagefolder: data.root is not set, expected a folder of class folders")
    return list_parts(config.root, has_search=config.view_rule != BEFORE)


def _own_split(config: DataConfig, files: FileList) -> dict[Part, Tensor]:
    train, test = stratified_split(
        files.labels,
        fraction=config.test_fraction,
        seed=config.split_seed,
        class_names=files.class_names,
        least_left=2,  # one to train on and one for the search split
    )
    return {"train": train, "test": test}

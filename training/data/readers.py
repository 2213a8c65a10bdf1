"""Open one part of the data set that a config names, a user's own reader included."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from supernet.files import UserError
from supernet.files.names import check_names
from supernet.plugins import own_code
from training.data.config import DATA_SETS, DataConfig, Part
from training.data.image_set import ImageSet, MemoryImageSet
from training.data.squares import squared, squares

Reader = Callable[[DataConfig, Part], Any]


def open_part(config: DataConfig, part: Part) -> ImageSet:
    """Open the part that training uses, or the test part; the other one is not touched.

    Images are of the channels that the config says, or else of those that the data set has.

    A user's own reader is called with the config and "train" or "test". It returns an `ImageSet`
    or a tuple of uint8 images (N, C, H, W), integer labels (N,) and class names; they are made
    square as the files of a folder are (`supernet.files.image_view`).

    Raises:
        UserError: the data set is missing or damaged, or the reader is missing or returns
            something else.
    """
    result = load_reader(config.name, trusted=not config.is_of_a_file)(config, part)
    is_set = isinstance(result, ImageSet)
    images = squared(result, config) if is_set else _image_set(config, result)
    check_names(images.class_names, f"{config.name}: class")
    if len(images.class_names) < 2:
        raise UserError(f"{config.name}: has one class, expected at least two")
    if len(images) == 0:
        raise UserError(f"{config.name}: its {part} part is empty, expected images")
    return images


def load_reader(name: str, *, trusted: bool = True) -> Reader:
    """Return the function that `name` stands for: a built-in one, or an import path's.

    Raises:
        UserError: there is none, or it is not `trusted` and not allowed (`supernet.plugins`).
    """
    what = f"data.name {name!r}"
    module_name, _, function_name = DATA_SETS.get(name, name).rpartition(":")
    function = own_code(DATA_SETS.get(name, name), what, trusted=trusted or name in DATA_SETS)
    if not callable(function):
        raise UserError(f"{what}: {module_name} has no function {function_name!r}")
    return function


def _image_set(config: DataConfig, result: Any) -> MemoryImageSet:
    where = f"data.name {config.name!r}: its reader"
    try:
        images, labels, class_names = result
        images, labels = _tensor(images), _tensor(labels)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{where} returned {type(result).__name__} ({error}), "
            "expected (images, labels, class_names)"
        ) from error
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UserError(
            f"{where} returned images of {images.dtype} {tuple(images.shape)}, "
            "expected torch.uint8 (N, 1 or 3, H, W)"
        )
    if labels.shape != images.shape[:1] or labels.is_floating_point():
        raise UserError(
            f"{where} returned labels of {labels.dtype} {tuple(labels.shape)}, "
            f"expected integers of {tuple(images.shape[:1])}"
        )
    names = tuple(map(str, class_names))
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(names):
        raise UserError(f"{where} returned labels outside 0 to {len(names) - 1}")
    return MemoryImageSet(squares(images, config), labels.long(), names)


def _tensor(values: Any) -> Tensor:
    # np.array copies: torch warns about memory that it must not write to.
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))

"""A trained network of which another file is made, and the images to check that file on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deploy.engine.packed_network import PackedNetwork
from deploy.engine.prediction import view_of
from deploy.packed_file import is_in_zoo
from evaluate.test_split import check_unchanged, open_network
from supernet.files import UserError, check_output
from supernet.files.image_file import list_images
from supernet.files.image_view import View
from supernet.finite import demand_finite_weights
from training.data import DataConfig, open_training_data
from training.network_file import TrainedNetwork

EMBEDDED = "fashion-mnist-mini"
BATCH = 50
"""Images that a network sees at once."""


def open_checkpoint(checkpoint: Path, output: Path) -> TrainedNetwork:
    """Read a network file of which `output` is to be made.

    Raises:
        UserError: a damaged file, one that holds NaN, or `output` is a folder or the checkpoint.
    """
    check_target(checkpoint, output)
    trained = open_network(checkpoint)
    demand_finite_weights(trained.network.state_dict(), str(checkpoint))
    return trained


def check_target(source: Path, output: Path) -> None:
    """Demand that `output` can be written, and is not the file that it is made of.

    Raises:
        UserError: it is, or is a folder.
    """
    check_output(output)
    if output.exists() and source.exists() and output.samefile(source):
        raise UserError(f"-o {output}: is the checkpoint itself")


def check_images(trained: TrainedNetwork, file: Path, data: Path | None, count: int) -> Tensor:
    """Up to `count` images (N, C, S, S), normalised for the network.

    They are of those below `data`, or else of the search split that the network in `file` was
    trained beside.

    Raises:
        UserError: there are no images, none that can be read, or a data set that has changed.
    """
    return trained.normalisation.apply(check_pixels(trained, file, data, count))


def check_pixels(trained: TrainedNetwork, file: Path, data: Path | None, count: int) -> Tensor:
    """The images of `check_images` as uint8, of what size the reader gives."""
    if data is None:
        try:
            known = open_training_data(trained.data)
            check_unchanged(trained, file, known)
            images = known.search
        except UserError as error:
            raise UserError(
                f"{error}; to check the new file on other images, name a folder: --data DIR"
            ) from error
        return images.read(_spread(len(images), count))[0]
    return folder_pixels(data, count, trained.view)


def packed_pixels(source: Path, packed: PackedNetwork, data: Path | None, count: int) -> Tensor:
    """Up to `count` images for a packed model, uint8: of those below `data`.

    A model that comes with evobit may do without: it is checked on the embedded images.

    Raises:
        UserError: another model without `data`, or no images.
    """
    if data is not None:
        return folder_pixels(data, count, view_of(packed, source))
    if not is_in_zoo(source):
        raise UserError("a packed model names no data set; name a folder of images: --data DIR")
    images = open_training_data(DataConfig(name=EMBEDDED, image_size=packed.plan.size)).search
    return images.read(_spread(len(images), count))[0]


def folder_pixels(data: Path, count: int, view: View) -> Tensor:
    """Up to `count` of the images below `data` as `view` shows them, uint8.

    Raises:
        UserError: there are no images, or one that cannot be read.
    """
    files = list_images(data)
    chosen = [files[i] for i in _spread(len(files), count).tolist()]
    return torch.from_numpy(np.stack([view.read(file) for file in chosen]))


def _spread(available: int, count: int) -> Tensor:
    """`count` numbers below `available`, evenly spread; all of them if there are fewer."""
    count = min(available, count)
    return torch.arange(count) * available // max(count, 1)

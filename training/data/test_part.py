"""Open test images: imported by `evaluate` alone, so that no search can see them."""

from collections.abc import Sequence
from pathlib import Path

from supernet.files.image_view import View
from training.data.config import DataConfig
from training.data.decoding.folder_images import FolderImageSet
from training.data.file_list import list_class_folders
from training.data.image_set import ImageSet
from training.data.readers import open_part


def open_test_part(config: DataConfig) -> ImageSet:
    """Open the data set's own test part, or what the split by seed gave to it.

    Raises:
        UserError: it is missing or damaged.
    """
    return open_part(config, "test")


def open_labelled_folder(
    path: Path, view: View, class_names: Sequence[str], num_workers: int = 2
) -> ImageSet:
    """Open any folder of class folders, to score a trained network on it.

    Args:
        path: holds `<class>/<image>`; not every class has to be there.
        view: what the network sees of an image.
        class_names: the network's classes, in the order of its outputs.
        num_workers: decoding processes.

    Raises:
        UserError: a folder is no known class, or has no images.
    """
    files = list_class_folders(path, tuple(class_names))
    return FolderImageSet(files, view, num_workers)

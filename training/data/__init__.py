"""Images and labels: readers, the train/search split, and batches of uint8 images.

`training_data` opens what a `config` names through one of the `readers`: `fashion_mnist`, `cifar`,
an `image_folder` (its `file_list`, or an `image_list` in a CSV file; `decoding/` of its images, or
its `cache`), or a user's own; `squares` makes images in memory of one size. `splits` hold images
out for the search, and an `image_set` gives batches. `normalisation` is what a network sees of
their pixels. `test_part` opens the test images, and `evaluate` alone imports it.
"""

from typing import TYPE_CHECKING

from supernet.lazy import lazily

if TYPE_CHECKING:
    from training.data.config import DataConfig as DataConfig
    from training.data.image_set import ImageSet as ImageSet
    from training.data.training_data import TrainingData as TrainingData
    from training.data.training_data import open_training_data as open_training_data

__all__ = ["DataConfig", "ImageSet", "TrainingData", "open_training_data"]

__getattr__ = lazily(
    __name__,
    {
        "DataConfig": "training.data.config",
        "ImageSet": "training.data.image_set",
        "TrainingData": "training.data.training_data",
        "open_training_data": "training.data.training_data",
    },
)

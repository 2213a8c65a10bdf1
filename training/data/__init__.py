"""Images and labels: readers, the train/search split, and batches of uint8 images."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.data.config import DataConfig as DataConfig
    from training.data.image_set import ImageSet as ImageSet
    from training.data.training_data import TrainingData as TrainingData
    from training.data.training_data import open_training_data as open_training_data

_MODULES = {
    "DataConfig": "training.data.config",
    "ImageSet": "training.data.image_set",
    "TrainingData": "training.data.training_data",
    "open_training_data": "training.data.training_data",
}
__all__ = ["DataConfig", "ImageSet", "TrainingData", "open_training_data"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that reading a config loads no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)

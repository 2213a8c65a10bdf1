"""Which images are used and how they are split: the `data` section of a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from training.run_files.same_run import CHANGES_NOTHING
from training.section import Section

Part = Literal["train", "test"]

DATA_SETS = {
    "fashion-mnist-mini": "training.data.fashion_mnist:read_mini",
    "fashion-mnist": "training.data.fashion_mnist:read",
    "cifar10": "training.data.cifar:read_cifar10",
    "cifar100": "training.data.cifar:read_cifar100",
    "imagefolder": "training.data.image_folder:read",
}


NAMES_IN_WORDS = (
    f"{', '.join(DATA_SETS)}, or 'module:function' or 'file.py:function' of your own reader"
)


class DataConfig(Section):
    """A data set, the size of its images, and how its training images are split."""

    name: str = Field(description=NAMES_IN_WORDS)
    root: Path | None = Field(None, description="folder that holds the data set")
    image_size: int = Field(32, ge=8, le=1024, description="side of the network's input, pixels")
    split_seed: int = Field(0, ge=0, description="seed of the train/search (and test) split")
    search_fraction: float = Field(
        0.1, gt=0, lt=1, description="share of each class's training images in the search split"
    )
    search_per_class: int | None = Field(
        None, ge=1, description="images a class in the search split; overrides search_fraction"
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="share of each class in the test split of a folder without one"
    )
    cache: Path | None = Field(None, description="folder that 'evobit cache' wrote (imagefolder)")
    loader_workers: Annotated[int, CHANGES_NOTHING] = Field(
        2, ge=0, description="processes that decode images of a folder"
    )
    _is_of_a_file: bool = PrivateAttr(False)

    @field_validator("name")
    @classmethod
    def _known_name(cls, name: str) -> str:
        module, separator, function = name.rpartition(":")
        if name not in DATA_SETS and not (separator and module and function.isidentifier()):
            raise ValueError(f"unknown data set {name!r}, expected one of {NAMES_IN_WORDS}")
        return name

    @model_validator(mode="after")
    def _no_ignored_field(self) -> "DataConfig":
        if self.cache is not None and self.name != "imagefolder":
            raise ValueError(f"cache is only used with name: imagefolder, not with {self.name!r}")
        if self.root is not None and self.name == "fashion-mnist-mini":
            raise ValueError("fashion-mnist-mini is embedded and takes no root")
        return self

    @classmethod
    def of_file(cls, document: Mapping[str, Any]) -> "DataConfig":
        """What a network file or a run folder holds: it names no reader that is run for it.

        Raises:
            TypeError, ValueError: not the fields of a data set.
        """
        config = cls(**document)
        config._is_of_a_file = True
        return config

    @property
    def is_of_a_file(self) -> bool:
        """Whether a file names this data set, not a config (see `supernet.plugins`)."""
        return self._is_of_a_file

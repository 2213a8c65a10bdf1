"""Which images are used and how they are split: the `data` section of a config."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from supernet.files.image_view import CHANNELS, View, needs_only_border, usual_stored
from training.bounds import MAX_IMAGES, MAX_THREADS
from training.run_files.same_run import CHANGES_NOTHING, SAME_IMAGES
from training.section import Section

Part = Literal["train", "test"]

BEFORE = 1
"""The `view_rule` of runs and files that were made before there was one."""

SIDES = {"fashion-mnist-mini": 28, "fashion-mnist": 28, "cifar10": 32, "cifar100": 32}
"""Of the images of data sets that are held in memory, pixels."""

DATA_SETS = {
    "fashion-mnist-mini": "training.data.fashion_mnist:read_mini",
    "fashion-mnist": "training.data.fashion_mnist:read",
    "cifar10": "training.data.cifar:read_cifar10",
    "cifar100": "training.data.cifar:read_cifar100",
    "imagefolder": "training.data.image_folder:read",
    "imagelist": "training.data.image_folder:read",
}
OF_FILES = ("imagefolder", "imagelist")
"""Data sets whose images are files each."""

NAMES_IN_WORDS = (
    f"{', '.join(DATA_SETS)}, or 'module:function' or 'file.py:function' of your own reader"
)


def view_rule_of(document: Mapping[str, Any]) -> Any:
    """By which rule a recorded data set shows its images; the newer where both show the same."""
    if "view_rule" in document:
        return document["view_rule"]
    side = SIDES.get(str(document.get("name")))
    size = document.get("image_size", 32)
    if side is None or type(size) is not int or size != usual_stored(size):
        return BEFORE
    return 2 if needs_only_border(side, side, size) else BEFORE


class DataConfig(Section):
    """A data set, the size of its images, and how its training images are split."""

    name: str = Field(description=NAMES_IN_WORDS)
    root: Annotated[Path | None, SAME_IMAGES] = Field(
        None, description="folder that holds the data set"
    )
    image_size: int = Field(32, ge=8, le=1024, description="side of the network's input, pixels")
    channels: Literal[1, 3] | None = Field(
        None,
        description="1 shows images in grey, 3 in colour; none: as the space's networks take them",
    )
    resize: Literal["crop", "pad"] = Field(
        "crop",
        description="crop: the shorter side is made to fit and the middle cut out; pad: the longer "
        "side is made to fit, and the rest is black",
    )
    stored_size: int | None = Field(
        None,
        ge=8,
        le=1536,
        description="side of the squares that images are resized to, of which evaluation shows the "
        "middle image_size pixels and training a random window; none: image_size, with crop from "
        "64 pixels on 8/7 of it (256 for 224)",
    )
    view_rule: Literal[1, 2] = Field(
        2,
        description="2: resize, stored_size and channels say what a network sees of an image; 1: "
        "what runs did that were made before they said so (docs/formats.md)",
    )
    split_seed: int = Field(
        0, ge=0, lt=2**63, description="seed of the train/search (and test) split"
    )
    search_fraction: float = Field(
        0.1, gt=0, lt=1, description="share of each class's training images in the search split"
    )
    search_per_class: int | None = Field(
        None,
        ge=1,
        le=MAX_IMAGES,
        description="images a class in the search split; overrides search_fraction",
    )
    test_fraction: float = Field(
        0.2, gt=0, lt=1, description="share of each class in the test split of a folder without one"
    )
    labels: Annotated[Path | None, SAME_IMAGES] = Field(
        None, description="CSV file of the columns path, label and perhaps split (imagelist)"
    )
    cache: Annotated[Path | None, SAME_IMAGES] = Field(
        None, description="folder that 'evobit cache' wrote (imagefolder, imagelist)"
    )
    loader_workers: Annotated[int, CHANGES_NOTHING] = Field(
        2, ge=0, le=MAX_THREADS, description="processes that decode images of a folder"
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
    def _view_is_possible(self) -> "DataConfig":
        if self.view_rule == 1:
            ignored = {"resize": "crop", "stored_size": None}
            for name, default in ignored.items():
                if getattr(self, name) != default:
                    raise ValueError(f"{name} is for view_rule 2, not for 1")
        self.view(3)
        return self

    @model_validator(mode="after")
    def _no_ignored_field(self) -> "DataConfig":
        if self.cache is not None and self.name not in OF_FILES:
            raise ValueError(
                f"cache is only used with name: {' or '.join(OF_FILES)}, not with {self.name!r}"
            )
        if self.labels is not None and self.name != "imagelist":
            raise ValueError(f"labels is only used with name: imagelist, not with {self.name!r}")
        if self.root is not None and self.name == "fashion-mnist-mini":
            raise ValueError("fashion-mnist-mini is embedded and takes no root")
        return self

    @classmethod
    def of_file(cls, document: Mapping[str, Any]) -> "DataConfig":
        """What a network file or a run folder holds: it names no reader that is run for it.

        Raises:
            TypeError, ValueError: not the fields of a data set.
        """
        config = cls(**{**document, "view_rule": view_rule_of(document)})
        config._is_of_a_file = True
        return config

    def taking(self, channels: int | None) -> "DataConfig":
        """For networks of so many channels; what the config says of them stays."""
        if self.channels is not None or channels not in CHANNELS:
            return self
        return self.model_copy(update={"channels": channels})

    def view(self, channels: int) -> View:
        """What a network of so many channels sees of an image.

        Raises:
            ValueError: `stored_size` is smaller than the network's input, or far larger.
        """
        if self.view_rule == BEFORE:
            return View.before(self.image_size, channels)
        stored = self.stored_size or usual_stored(self.image_size, self.resize)
        return View(self.image_size, stored, channels, self.resize)

    @property
    def is_of_a_file(self) -> bool:
        """Whether a file names this data set, not a config (see `supernet.plugins`)."""
        return self._is_of_a_file

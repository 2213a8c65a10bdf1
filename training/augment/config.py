"""Which technique erases or mixes training images, how often, and with which options."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from training.bounds import MAX_FLOAT, MAX_SIDE
from training.frozen.config import NAME_IN_WORDS, NamedNetwork, check_network_name
from training.section import MAY_BE_PATH, Section, UsedWith, refuse_ignored

ERASING_OPTIONS: UsedWith = {
    "size": ("name", ("cutout",)),
    "area": ("name", ("random-erasing",)),
    "aspect": ("name", ("random-erasing",)),
}


Aspect = Annotated[float, Field(gt=0, le=1000)]
"""Height / width."""


class AttentionConfig(Section):
    """What says which cells of an image matter, and how many of them are pasted.

    The image is divided into `grid` x `grid` cells; the `cells` of most attention are pasted, or,
    where that is None, a share of all that is drawn from Beta(alpha, alpha).
    """

    extractor: Annotated[str, MAY_BE_PATH] = Field(description=NAME_IN_WORDS)
    weights: Path | None = Field(
        None, description="the extractor's state_dict; none: torchvision's pretrained weights"
    )
    size: int | None = Field(
        None,
        ge=1,
        le=MAX_SIDE,
        description="side in pixels to which the extractor's images are resized; none: 224 for "
        "torchvision's models, else the side of the images",
    )
    grid: int = Field(7, ge=1, le=256)
    cells: int | None = Field(6, ge=1, le=256**2)
    cache: Path | None = Field(
        None,
        description="a file that keeps the attention of every training image, so that the "
        "extractor runs once; none: it runs at every step, on the images as they are cropped",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cells is not None and self.cells > self.grid**2:
            raise ValueError(
                f"cells is {self.cells}, but a grid of {self.grid} x {self.grid} has "
                f"{self.grid**2} cells"
            )
        self.network.check_weights()
        return self

    @field_validator("extractor")
    @classmethod
    def _well_formed(cls, extractor: str) -> str:
        return check_network_name(extractor)

    @property
    def network(self) -> NamedNetwork:
        """The extractor, as it is read."""
        return NamedNetwork("extractor", self.extractor, self.weights)


class MixConfig(Section):
    """One way of mixing the images of a batch with one another, and how often a batch is mixed so.

    cutmix: a box of the partner is pasted (arXiv 1905.04899).
    mixup: the two are blended (arXiv 1710.09412).
    attentive-cutmix: the partner's cells of most attention are pasted (arXiv 2003.13048).
    `alpha`: the share that an image keeps (of attentive-cutmix: gets) is drawn from
    Beta(alpha, alpha).
    """

    name: Literal["cutmix", "mixup", "attentive-cutmix"]
    probability: float = Field(gt=0, le=1)
    alpha: float = Field(1.0, gt=0, le=MAX_FLOAT)
    attention: AttentionConfig | None = None

    @model_validator(mode="after")
    def _no_ignored_field(self) -> Self:
        refuse_ignored(self, {"attention": ("name", ("attentive-cutmix",))})
        if self.name == "attentive-cutmix" and self.attention is None:
            raise ValueError("attentive-cutmix needs attention, whose extractor finds the cells")
        drawn = self.attention is None or self.attention.cells is None
        if not drawn and self.alpha != type(self).model_fields["alpha"].default:
            raise ValueError("alpha draws nothing where attention.cells says how many cells")
        return self


class EraseConfig(Section):
    """What is erased of a training image, and the share of the images that lose something.

    cutout: a square of side `size` in pixels, whose centre lies anywhere (arXiv 1708.04552).
    random-erasing: a rectangle inside the image, filled with noise (arXiv 1708.04896). `area`:
    least and largest share of the image; `aspect`: least and largest height / width.
    """

    name: Literal["cutout", "random-erasing"]
    probability: float = Field(gt=0, le=1)
    size: int | None = Field(None, ge=1, le=MAX_SIDE)
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[Aspect, Aspect] = (0.3, 3.3)

    @model_validator(mode="after")
    def _no_ignored_field(self) -> Self:
        refuse_ignored(self, ERASING_OPTIONS)
        if self.name == "cutout" and self.size is None:
            raise ValueError("cutout needs size, the side of its square in pixels")
        return self

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area is {self.area}, expected two rising shares in (0, 1]")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ValueError(f"aspect is {self.aspect}, expected two rising numbers above 0")
        # The flattest rectangle of least area must fit: height^2 = area aspect, width^2 = area /
        # aspect, both at most 1 for some aspect of the range.
        if self.area[0] * self.aspect[0] > 1 or self.area[0] / self.aspect[1] > 1:
            raise ValueError(f"no rectangle of area {self.area} and aspect {self.aspect} fits")
        return self


def check_mixes(mixes: Sequence[MixConfig]) -> None:
    """Demand that at most one of `mixes` acts on a batch, and one extractor at most.

    Raises:
        ValueError: their probabilities add up to more than 1, or two are attentive.
    """
    total = fsum(mix.probability for mix in mixes)
    if total > 1 + 1e-9:
        raise ValueError(
            f"the probabilities of mix add up to {total:g}; one at most acts on a batch, "
            f"expected 1 or less"
        )
    if sum(mix.attention is not None for mix in mixes) > 1:
        raise ValueError("attentive-cutmix stands twice in mix, expected it once at most")


class AugmentConfig(Section):
    """How training images are varied: cropped and mirrored, then erased, then mixed."""

    crop: Literal["none", "pad", "resized"] = Field(
        "pad",
        description="none: the centre; pad: a random window of the image with a black border; "
        "resized: a random window of random area, resized",
    )
    pad: int = Field(
        2, ge=0, le=MAX_SIDE, description="width of the border in pixels, for crop: pad"
    )
    min_scale: float = Field(
        0.08, gt=0, le=1, description="least share of the area kept, for crop: resized"
    )
    flip: bool = Field(True, description="mirror every other image, by chance")
    # None is what run folders hold that were made before there was erasing and mixing.
    erase: EraseConfig | None = Field(None, description="erase a window of some images")
    mix: tuple[MixConfig, ...] | None = Field(
        None, description="mix the images of a batch; one of these at most acts on a batch"
    )

    @model_validator(mode="after")
    def _one_mix_at_most(self) -> Self:
        check_mixes(self.mix or ())
        return self
